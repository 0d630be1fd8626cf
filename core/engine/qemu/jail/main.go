package jail

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// exitStage is the exit code of a first step that failed; standard error says why.
const exitStage = 121

// Main runs the first step. Every binary that uses this package calls it first: in that
// step it never returns, in any other process it returns at once.
func Main() {
	if os.Args[0] != stageName {
		return
	}
	runtime.LockOSThread() // capabilities and the death signal are a thread's own
	err := enter()
	fmt.Fprintf(os.Stderr, "jail: %v\n", err)
	os.Exit(exitStage)
}

// enter returns only when something failed.
func enter() error {
	s, err := readSpec()
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := makeRoot(s); err != nil {
		return err
	}
	for _, l := range s.Limits {
		limit := unix.Rlimit{Cur: l.Value, Max: l.Value}
		if err := unix.Prlimit(0, l.Resource, &limit, nil); err != nil {
			return fmt.Errorf("resource limit %d: %w", l.Resource, err)
		}
	}
	if err := dropPrivileges(); err != nil {
		return err
	}
	if err := descriptors(s.Files); err != nil {
		return err
	}
	if err := dieWithOwner(); err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", s.Path, unix.Exec(s.Path, s.Args, os.Environ()))
}

func readSpec() (*spec, error) {
	data := make([]byte, 1<<20)
	n, err := unix.Pread(specFD, data, 0)
	if err != nil {
		return nil, err
	}
	s := &spec{}
	return s, json.Unmarshal(data[:n], s)
}

// dropPrivileges gives up every capability, in the own user namespace too, and the ways
// to get one back. The program's uid is 0 of that namespace, and is nobody outside.
func dropPrivileges() error {
	for c := range uintptr(64) {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err == unix.EINVAL {
			break // the kernel's last
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	const noRoot = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 // SECBIT_NOROOT, NO_SETUID_FIXUP, locked; KEEP_CAPS locked
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noRoot, 0, 0, 0); err != nil {
		return fmt.Errorf("secure bits: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// descriptors lets the program inherit its own and nothing else.
func descriptors(files int) error {
	err := unix.CloseRange(uint(FirstFD+files), ^uint(0)>>1&0xffffffff, unix.CLOSE_RANGE_CLOEXEC)
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("close_range: %w", err)
	}
	// All that this process has opened is close-on-exec already.
	unix.CloseOnExec(specFD)
	unix.CloseOnExec(ownerFD)
	return nil
}

// dieWithOwner renews the death signal, which a change of ids clears, and looks whether
// the owner died before.
func dieWithOwner() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("death signal: %w", err)
	}
	poll := []unix.PollFd{{Fd: ownerFD, Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 0); err == nil && n > 0 {
		return errors.New("the supervisor has ended")
	}
	return nil
}
