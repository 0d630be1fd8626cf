package runtime

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/control"
)

// relayPoll bounds how long a relay sleeps on the host's descriptor before it
// looks whether it is still wanted, in milliseconds.
const relayPoll = 200

// relay copies between the guest's pipe and a descriptor whose flags must not
// change: it polls, and reads and writes so that neither blocks for long. Its
// goroutine ends at end of file, at an error, or at stop.
type relay struct {
	which    int
	fd       int // the host's, owned; -1 when all goes to the log
	log      programLog
	socket   bool
	pipe     *os.File // our end of the guest's pipe
	output   *allowance
	dev, ino uint64
	stopped  chan struct{}
	once     sync.Once

	mu        sync.Mutex
	progress  *sync.Cond
	taken     uint64 // bytes read from the guest's pipe
	delivered uint64 // bytes of those that have reached the host's descriptor
	ended     bool
}

func (s *streams) relay(which, fd int, st *unix.Stat_t) error {
	r := &relay{which: which, fd: fd, socket: st.Mode&unix.S_IFMT == unix.S_IFSOCK, dev: st.Dev, ino: st.Ino}
	if err := s.start(r); err != nil {
		unix.Close(fd)
		return err
	}
	return nil
}

// record sends what the program writes to the log.
func (s *streams) record(which int, log programLog) error {
	return s.start(&relay{which: which, fd: -1, log: log})
}

// start makes the guest's pipe of a relay and lets it run.
func (s *streams) start(r *relay) error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe", err)
	}
	ours, guest := p[0], p[1]
	if r.which == 0 {
		ours, guest = p[1], p[0]
	}
	if err := unix.SetNonblock(ours, true); err != nil { // ours only: the guest would see the flag
		control.CloseAll(p[:])
		return os.NewSyscallError("fcntl", err)
	}
	r.pipe, r.stopped = os.NewFile(uintptr(ours), "relay"), make(chan struct{})
	r.progress = sync.NewCond(&r.mu)
	if r.which != 0 {
		r.output = s.output
	}
	s.guest[r.which] = os.NewFile(uintptr(guest), "stdio relay")
	s.relays = append(s.relays, r)
	if r.fd < 0 {
		r.log.open.add(1)
	}
	go r.run()
	return nil
}

func (r *relay) stop() {
	r.once.Do(func() {
		close(r.stopped)
		r.pipe.Close()
	})
}

func (r *relay) isStopped() bool {
	select {
	case <-r.stopped:
		return true
	default:
		return false
	}
}

func (r *relay) run() {
	defer func() {
		r.stop()
		if r.fd >= 0 {
			unix.Close(r.fd)
		} else {
			r.log.open.add(-1)
		}
		r.mu.Lock()
		r.ended = true
		r.mu.Unlock()
		r.progress.Broadcast()
	}()
	buf := make([]byte, 64<<10)
	for {
		var n int
		var err error
		if r.which == 0 {
			if n, err = r.readHost(buf); n > 0 {
				_, err = r.pipe.Write(buf[:n])
			}
		} else {
			if n, err = r.readGuest(buf); n > 0 {
				allowed := r.output.take(n)
				if allowed > 0 {
					err = r.deliver(buf[:allowed])
				}
				if allowed < n {
					return // the program is being killed: nobody reads what is left
				}
			}
		}
		if err != nil || n == 0 {
			return
		}
	}
}

// readGuest takes bytes from the pipe and counts them in one step, so that flush
// misses none that are on their way.
func (r *relay) readGuest(buf []byte) (n int, err error) {
	raw, err := r.pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	rerr := raw.Read(func(fd uintptr) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		n, err = unix.Read(int(fd), buf)
		r.taken += uint64(max(n, 0))
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if rerr != nil {
		return 0, rerr
	}
	return n, err
}

func (r *relay) count(delivered int) {
	r.mu.Lock()
	r.delivered += uint64(delivered)
	r.mu.Unlock()
	r.progress.Broadcast()
}

// flush waits until everything that is in the pipe now has reached its place, or
// the sandbox ends: then for flushLimit at most. What others write meanwhile is not
// waited for.
func (r *relay) flush(ending <-chan struct{}) {
	defer stopLate(ending, r.stop)()
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.taken + r.pending()
	for !r.ended && r.delivered < all {
		r.progress.Wait()
	}
}

// pending is how many bytes of the pipe the relay has yet to read.
func (r *relay) pending() uint64 {
	raw, err := r.pipe.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	if err != nil {
		return 0
	}
	return uint64(max(n, 0))
}

// wait polls the host's descriptor.
func (r *relay) wait(events int16) error {
	for {
		if r.isStopped() {
			return os.ErrClosed
		}
		fds := []unix.PollFd{{Fd: int32(r.fd), Events: events}}
		n, err := unix.Poll(fds, relayPoll)
		if err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 {
			return nil
		}
	}
}

func (r *relay) readHost(buf []byte) (int, error) {
	for {
		if err := r.wait(unix.POLLIN); err != nil {
			return 0, err
		}
		var n int
		var err error
		if r.socket {
			n, _, err = unix.Recvfrom(r.fd, buf, unix.MSG_DONTWAIT)
		} else {
			n, err = unix.Read(r.fd, buf)
		}
		if err != unix.EINTR && err != unix.EAGAIN {
			return n, err
		}
	}
}

func (r *relay) deliver(data []byte) error {
	if r.fd >= 0 {
		return r.writeHost(data)
	}
	r.log.write(r.which, data)
	r.count(len(data))
	return nil
}

func (r *relay) writeHost(data []byte) error {
	for len(data) > 0 {
		if err := r.wait(unix.POLLOUT); err != nil {
			return err
		}
		var n int
		var err error
		if r.socket {
			n, err = unix.SendmsgN(r.fd, data, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		} else {
			// A writable pipe or terminal takes PIPE_BUF bytes without blocking.
			n, err = unix.Write(r.fd, data[:min(len(data), 4096)])
		}
		if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return err
		}
		data = data[max(n, 0):]
		r.count(max(n, 0))
	}
	return nil
}
