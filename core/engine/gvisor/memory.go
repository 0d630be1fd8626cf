package gvisor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// memoryGuard enforces the memory limit by looking at what the machine uses:
// the blocks of the guest-memory file, which holds the memory of programs, the
// overlay and tmpfs, plus the sentry's own private pages.
type memoryGuard struct {
	limit   uint64
	memory  *os.File // guest-memory file
	statm   *os.File // of the sentry
	kick    chan struct{}
	running context.Context // until stop
	quit    context.CancelFunc
	exited  chan struct{}
	peak    atomic.Uint64 // highest seen, in bytes
	guest   sleepState
}

// The pause between two looks is the time in which a guest that fills memory
// at fillRate would reach the limit, within these bounds.
const (
	fillRate     = 4 << 30 // bytes per second
	shortestWait = 5 * time.Millisecond
	longestWait  = 250 * time.Millisecond
)

// Memory that programs have freed is given back to the host a moment later, so
// a machine may be over its limit for overTime, by overBytes or an eighth of
// the limit, whichever is less. It is looked at every overWait then.
const (
	overTime  = 100 * time.Millisecond
	overWait  = 2 * time.Millisecond
	overBytes = 32 << 20
)

func newMemoryGuard(ctx context.Context, m *machine, limit uint64) (*memoryGuard, error) {
	options := usageFileArgs{Version: 1}
	files, err := m.rpc.call(ctx, methodUsageFDs, &options, &struct{}{})
	if err != nil {
		return nil, fmt.Errorf("guest-memory file: %w", err)
	}
	if len(files) != 2 {
		closeAll(files)
		return nil, fmt.Errorf("guest-memory file: %d descriptors instead of two", len(files))
	}
	files[0].Close()
	g := &memoryGuard{
		limit: limit, memory: files[1], kick: make(chan struct{}, 1), exited: make(chan struct{}),
	}
	g.running, g.quit = context.WithCancel(context.Background())
	if g.statm, err = os.Open(fmt.Sprintf("/proc/%d/statm", m.pid)); err != nil {
		g.memory.Close()
		g.quit()
		return nil, err
	}
	go g.run(m)
	return g, nil
}

func (g *memoryGuard) note() string {
	return fmt.Sprintf("memory: at most %d bytes (guest memory and sentry, looked at every %v to %v while the guest runs)",
		g.limit, shortestWait, longestWait)
}

// soon asks for a look now, because a program starts.
func (g *memoryGuard) soon() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

func (g *memoryGuard) stop() {
	g.quit()
	<-g.exited
	g.memory.Close()
	g.statm.Close()
}

func (g *memoryGuard) run(m *machine) {
	defer close(g.exited)
	timer := time.NewTimer(shortestWait)
	defer timer.Stop()
	var over time.Time // since when; zero while within the limit
	var last uint64
	for {
		select {
		case <-timer.C:
		case <-g.kick:
		case <-m.done:
			return
		case <-g.running.Done():
			return
		}
		used, err := g.used()
		if err != nil || used <= g.limit {
			over = time.Time{}
			if err == nil && used == last {
				g.sleep(m, used)
			}
			last = used
			timer.Reset(pause(used, g.limit))
			continue
		}
		if over.IsZero() {
			over = time.Now()
		}
		if used > g.limit+min(g.limit/8, overBytes) || time.Since(over) > overTime {
			m.end(engine.MemoryLimit)
			return
		}
		timer.Reset(overWait)
	}
}

// pause is how long the next look may wait.
func pause(used, limit uint64) time.Duration {
	left := time.Duration(float64(limit-min(used, limit)) / fillRate * float64(time.Second))
	return min(max(left, shortestWait), longestWait)
}

// used returns the machine's memory in bytes.
func (g *memoryGuard) used() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(g.memory.Fd()), &st); err != nil {
		return 0, err
	}
	used := uint64(st.Blocks) * 512
	private, err := privatePages(g.statm)
	used += private
	for peak := g.peak.Load(); used > peak && !g.peak.CompareAndSwap(peak, used); {
		peak = g.peak.Load()
	}
	return used, err
}

// privatePages returns the resident bytes of a process that it shares with no
// other and with no file.
func privatePages(statm *os.File) (uint64, error) {
	var buf [128]byte
	n, err := statm.ReadAt(buf[:], 0)
	fields := bytes.Fields(buf[:n])
	if len(fields) < 3 {
		return 0, err
	}
	resident, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0, err
	}
	shared, err := strconv.ParseUint(string(fields[2]), 10, 64)
	if err != nil {
		return 0, err
	}
	return (resident - min(shared, resident)) * uint64(os.Getpagesize()), nil
}
