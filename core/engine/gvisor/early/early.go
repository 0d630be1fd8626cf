// Package early is what the engine's processes do before the rest of the program
// is initialised, which costs milliseconds. Go initialises packages by import
// path, so this one, which imports nothing but runtime, syscall and unsafe, runs
// before everything under gvisor.dev.
//
// The sentry may re-execute this binary, only to have its /proc unmounted, and waits
// for it: that is done here. Sentry and gofer give up here what they do not need
// in the bounding set, while they have few threads, and the sentry boots on one
// processor, until gVisor sets their number: each change of credentials is one with a
// signal to each of the threads.
package early

import (
	"runtime"
	"syscall"
)

const (
	sentry   = "runsc-sandbox\x00"
	gofer    = "runsc-gofer\x00"
	umounter = "/proc/self/exe\x00umount\x00--sync-fd=3\x00/proc\x00"
)

func init() {
	runtime.MemProfileRate = 0 // nobody reads it, and its samples cost time and memory
	var buf [len(umounter) + 1]byte
	switch line := commandLine(buf[:]); {
	case line == umounter:
		umount()
	case hasPrefix(line, sentry):
		runtime.GOMAXPROCS(1)
		bound(SentryBounding)
	case hasPrefix(line, gofer):
		bound(GoferBounding)
	}
}

func hasPrefix(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

// commandLine returns the start of this process's, with a NUL after each argument.
func commandLine(buf []byte) string {
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer syscall.Close(fd)
	n, err := syscall.Read(fd, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
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
