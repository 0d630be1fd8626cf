package pid1

import (
	"sync"

	"golang.org/x/sys/unix"
)

// poller calls back when descriptors are ready. Descriptors are level-triggered.
type poller struct {
	fd      int
	watched map[int]func(events uint32)

	wakeFD int // an eventfd
	mu     sync.Mutex
	posted []func()
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	p := &poller{fd: fd, watched: map[int]func(uint32){}}
	if p.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, err
	}
	return p, p.watch(p.wakeFD, unix.EPOLLIN, p.runPosted)
}

// watch sets what fd is watched for; EPOLLERR and EPOLLHUP always are.
func (p *poller) watch(fd int, events uint32, ready func(uint32)) error {
	op := unix.EPOLL_CTL_ADD
	if _, known := p.watched[fd]; known {
		op = unix.EPOLL_CTL_MOD
	}
	if err := unix.EpollCtl(p.fd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
		return err
	}
	p.watched[fd] = ready
	return nil
}

func (p *poller) unwatch(fd int) {
	if _, known := p.watched[fd]; known {
		delete(p.watched, fd)
		unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
	}
}

// post makes the loop call f. It may be called from any goroutine.
func (p *poller) post(f func()) {
	p.mu.Lock()
	p.posted = append(p.posted, f)
	p.mu.Unlock()
	one := [8]byte{1}
	unix.Write(p.wakeFD, one[:])
}

func (p *poller) runPosted(uint32) {
	var count [8]byte
	unix.Read(p.wakeFD, count[:])
	p.mu.Lock()
	posted := p.posted
	p.posted = nil
	p.mu.Unlock()
	for _, f := range posted {
		f()
	}
}

// wait handles what is ready, after waiting for at least one descriptor.
func (p *poller) wait() error {
	var events [64]unix.EpollEvent
	n, err := unix.EpollWait(p.fd, events[:], -1)
	if err != nil && err != unix.EINTR {
		return err
	}
	for _, e := range events[:max(n, 0)] {
		// One that was handled before may have ended this one.
		if ready := p.watched[int(e.Fd)]; ready != nil {
			ready(e.Events)
		}
	}
	return nil
}
