// Package early unmounts /proc for the sentry before the rest of the program
// is initialised: the sentry re-executes this binary only to have its /proc
// unmounted and waits for it, and initialising the engine costs milliseconds.
// Go initialises packages by import path, so this one, which imports nothing
// but syscall, runs before everything under gvisor.dev.
package early

import "syscall"

func init() {
	if isUmounter() {
		umount()
	}
}

// isUmounter compares the command line with that of the sentry's umounter.
func isUmounter() bool {
	const want = "/proc/self/exe\x00umount\x00--sync-fd=3\x00/proc\x00"
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer syscall.Close(fd)
	var buf [len(want) + 1]byte
	n, err := syscall.Read(fd, buf[:])
	return err == nil && string(buf[:n]) == want
}

// umount waits for the byte on descriptor 3 that says /proc is no longer
// needed. End of file means that the sentry died: there is nothing to do.
func umount() {
	var b [1]byte
	for {
		n, err := syscall.Read(3, b[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			syscall.Exit(1)
		case n == 1 && syscall.Unmount("/proc", syscall.MNT_DETACH) != nil:
			syscall.Exit(1)
		}
		syscall.Exit(0)
	}
}
