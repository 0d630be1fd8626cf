package pid1

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// renew serves KindRenew.
func (a *Agent) renew(id uint32, payload []byte) error {
	m, err := wire.DecodeRenewal(payload)
	if err != nil {
		return err
	}
	what, err := a.renewNow(m)
	a.answer(id, err, what)
	return nil
}

// renewNow sets what is given, and names what could not be set.
func (a *Agent) renewNow(m wire.Renewal) (what string, err error) {
	if m.UnixNano != 0 {
		now := unix.NsecToTimespec(m.UnixNano)
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
			return "clock", err
		}
	}
	if m.Entropy != "" {
		if err := addEntropy(a.random, m.Entropy); err != nil {
			return "entropy", err
		}
	}
	if m.Hostname != "" {
		if err := unix.Sethostname([]byte(m.Hostname)); err != nil {
			return "host name", err
		}
	}
	return "", nil
}

// addEntropy gives the kernel secret bytes and makes its generator use them at once.
func addEntropy(fd int, secret string) error {
	var pool struct {
		bits, bytes int32
		data        [wire.MaxEntropy]byte
	}
	pool.bytes = int32(copy(pool.data[:], secret))
	pool.bits = 8 * pool.bytes
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&pool))); e != 0 {
		return e
	}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.RNDRESEEDCRNG, 0); e != 0 {
		return e
	}
	return nil
}

// sync serves KindSync, without keeping the loop.
func (a *Agent) sync(id uint32) {
	go func() {
		unix.Sync()
		a.poll.post(func() { a.reply(id, nil) })
	}()
}

// flushTimeout bounds the flush before the power goes.
const flushTimeout = 5 * time.Second

// powerOff ends all programs, flushes, leaves disks as an unmount would, and ends the
// machine.
func (a *Agent) powerOff() {
	a.kill.signalAll(unix.SIGKILL)
	flushed := make(chan struct{})
	go func() {
		settle(flushTimeout)
		close(flushed)
	}()
	select {
	case <-flushed:
	case <-time.After(flushTimeout):
	}
	a.port.ended = errEOF
}
