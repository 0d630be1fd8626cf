package disklock

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// conflict is the error of a lock that others hold: code State, errno EBUSY.
func conflict(path string, mode Mode, holders []Holder) error {
	e := fault.New(fault.State, stage, "disk image %q: no %s lock: %s; %s", path, mode, holdersText(holders), remedy(mode, holders))
	e.Errno = unix.EBUSY
	return e
}

// holdersText lists who holds the image, in one line.
func holdersText(holders []Holder) string {
	const enough = 4
	if len(holders) == 0 {
		return "it is held by a process that cannot be seen from here (of another user, container or machine)"
	}
	var parts []string
	for i, h := range holders {
		if i == enough {
			parts = append(parts, fmt.Sprintf("%d more", len(holders)-enough))
			break
		}
		parts = append(parts, h.String())
	}
	return fmt.Sprintf("held %s by %s", holders[0].Mode, strings.Join(parts, ", "))
}

// String names the holder.
func (h Holder) String() string {
	switch {
	case h.Sandbox != "":
		return fmt.Sprintf("sandbox %q (pid %d)", h.Sandbox, h.Pid)
	case h.Pid == os.Getpid():
		return fmt.Sprintf("this process (pid %d)", h.Pid)
	case h.Taker:
		return fmt.Sprintf("process %d (%q of uid %d), which took it", h.Pid, h.Command, h.UID)
	case h.UID != uint32(os.Geteuid()):
		return fmt.Sprintf("process %d (%q of uid %d)", h.Pid, h.Command, h.UID)
	}
	return fmt.Sprintf("process %d (%q)", h.Pid, h.Command)
}

func remedy(mode Mode, holders []Holder) string {
	if mode == Exclusive && len(holders) > 0 && holders[0].Mode == Shared {
		return "wait for them to end, or attach it read-only"
	}
	return "wait for it to end, or attach copies"
}
