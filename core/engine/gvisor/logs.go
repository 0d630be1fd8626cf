package gvisor

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/failpoint"
)

// engineLogs are where sentry and gofer write, in memory: what a boot that fails has
// to say.
type engineLogs struct {
	errors, panics *os.File
	debug          string // a file's path with %COMMAND% in it; "": none
}

func openLogs(debug string) (engineLogs, error) {
	l := engineLogs{debug: debug}
	if strings.HasSuffix(debug, "/") {
		l.debug += "gvisor.%COMMAND%.txt"
	}
	var err error
	if l.errors, err = openLog("errors"); err != nil {
		return l, err
	}
	if l.panics, err = openLog("panics"); err != nil {
		l.close()
	}
	return l, err
}

func openLog(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (l engineLogs) close() { closeAll([]*os.File{l.errors, l.panics}) }

// addTo adds the descriptors that come before the name of gVisor's command.
func (l engineLogs) addTo(c *command, name string) error {
	c.donate("log-fd", l.errors)
	if l.debug != "" {
		path := strings.ReplaceAll(l.debug, "%COMMAND%", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		c.give("debug-log-fd", f)
	}
	if name == "boot" {
		c.donate("panic-log-fd", l.panics)
	}
	return nil
}

// lastError returns the last line of the errors, else the first of the panics, or "".
func (l engineLogs) lastError() string {
	if lines := l.lines(l.errors); len(lines) > 0 {
		return lines[len(lines)-1]
	}
	if lines := l.lines(l.panics); len(lines) > 0 {
		return lines[0]
	}
	return ""
}

func (engineLogs) lines(f *os.File) []string {
	const enough = 64 << 10
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return nil
	}
	data := make([]byte, min(st.Size(), enough))
	n, _ := f.ReadAt(data, max(0, st.Size()-enough))
	return strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(data[:n]), "?")), "\n")
}

// traceOptions make gVisor write its own timeline, which is in its debug log only.
func traceOptions() map[string]string {
	options := map[string]string{}
	if dir := failpoint.TraceDir(); dir != "" {
		options["debug"], options["debug-log"] = "true", dir+"/%COMMAND%.log"
	}
	return options
}
