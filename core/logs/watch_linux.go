package logs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// longLook is how long to trust that events tell everything: a writer that was
	// killed closes its files a moment before its lock is free.
	longLook  = time.Second
	shortLook = 5 * time.Millisecond
	// blindLook is the interval without inotify.
	blindLook = 100 * time.Millisecond
)

// watch waits for changes in a directory.
type watch struct {
	events *os.File // nil: there are no inotify instances left, so look now and then
	look   time.Duration
	buf    []byte
}

func newWatch(dir *os.File) *watch {
	w := &watch{look: longLook, buf: make([]byte, 4096)}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return w
	}
	path := fmt.Sprintf("/proc/self/fd/%d", dir.Fd())
	const what = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_CLOSE_WRITE | unix.IN_DELETE_SELF | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(fd, path, what); err != nil {
		unix.Close(fd)
		return w
	}
	w.events = os.NewFile(uintptr(fd), "inotify")
	return w
}

func (w *watch) close() {
	if w != nil && w.events != nil {
		w.events.Close()
	}
}

// wait returns when something may have changed, or the context has ended.
func (w *watch) wait(ctx context.Context) error {
	if w.events == nil {
		timer := time.NewTimer(blindLook)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	w.events.SetReadDeadline(time.Now().Add(w.look))
	stop := context.AfterFunc(ctx, func() { w.events.SetReadDeadline(time.Unix(1, 0)) })
	n, err := w.events.Read(w.buf)
	stop()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.look = min(2*w.look, longLook)
		return nil
	}
	if err != nil {
		return err
	}
	if closed(w.buf[:n]) {
		w.look = shortLook
	}
	return nil
}

// closed reports whether the writer has closed a file: it may have ended.
func closed(events []byte) bool {
	for len(events) >= unix.SizeofInotifyEvent {
		if binary.NativeEndian.Uint32(events[4:])&unix.IN_CLOSE_WRITE != 0 {
			return true
		}
		name := binary.NativeEndian.Uint32(events[12:])
		events = events[min(unix.SizeofInotifyEvent+int(name), len(events)):]
	}
	return false
}
