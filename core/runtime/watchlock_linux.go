package runtime

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// Events of F_NOTIFY, as linux/fcntl.h has them.
const (
	dnDelete    = 0x8
	dnMultishot = 0x80000000
)

// watchLock ends the sandbox when somebody deletes its directory: nobody could
// find it any more. The lock's link count tells; an unreadable one changes nothing.
func (s *supervisor) watchLock(claim *store.Claim) {
	deleted, stop := deletions(claim)
	defer stop()
	for !claim.LockGone() {
		select {
		case _, ok := <-deleted:
			if !ok {
				return // nothing tells: the sandbox works without
			}
		case <-s.ending:
			return
		}
	}
	s.end(handle.CauseStopped, -1)
}

// deletions tells when a file in the claim's directory may have been deleted. It
// asks for a signal, although inotify does it as well: to close an inotify
// instance, also by dying, takes an SRCU grace period, some 15 ms.
func deletions(claim *store.Claim) (deleted <-chan os.Signal, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGIO) // first: without a handler it kills
	_, err := unix.FcntlInt(uintptr(claim.DirFD()), unix.F_NOTIFY, dnDelete|dnMultishot)
	if err == nil {
		return signals, func() {} // a late signal must find its handler
	}
	events, stop := inotified(claim)
	return events, stop
}

// inotified is for a kernel without F_NOTIFY. Without inotify either, which has a
// limit of instances, the channel is closed.
func inotified(claim *store.Claim) (deleted <-chan os.Signal, stop func()) {
	events := make(chan os.Signal, 1)
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		close(events)
		return events, func() {}
	}
	file := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, claim.LockPath(), unix.IN_ATTRIB); err != nil {
		file.Close()
		close(events)
		return events, func() {}
	}
	go func() { // ends when the file is closed
		defer close(events)
		buf := make([]byte, 4096)
		for {
			if _, err := file.Read(buf); err != nil {
				return
			}
			select {
			case events <- syscall.SIGIO:
			default:
			}
		}
	}()
	return events, func() { file.Close() }
}
