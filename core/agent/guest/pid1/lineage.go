package pid1

import (
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// lineage is for kernels without cgroup v2. Each program has a keeper, our own
// executable again, to which all of its orphans fall: what descends from the keeper
// belongs to the program. A program of uid 0 can kill its keeper; what then falls to
// us has lost its name, and is killed.
type lineage struct {
	a       *Agent
	keepers map[int]*lineal
}

// killTimeout bounds a race with a program that starts processes faster than they
// are found.
const killTimeout = 2 * time.Second

func newLineage(a *Agent) *lineage { return &lineage{a: a, keepers: map[int]*lineal{}} }

func (l *lineage) how() uint8       { return wire.KillLineage }
func (l *lineage) direct() bool     { return false }
func (l *lineage) owner(int) uint32 { return 0 }

func (l *lineage) newFamily(id uint32) (family, error) { return &lineal{l: l, id: id, pidfd: -1}, nil }

// limit cannot be kept: what has no cgroup is not counted.
func (l *lineage) limit(uint32) error { return unix.EOPNOTSUPP }

func (l *lineage) strayed(pid int) {
	keeper := l.keepers[pid]
	delete(l.keepers, pid)
	if keeper != nil && !keeper.told {
		l.killStrays()
	}
}

// killStrays kills what has fallen to us. It descends from no keeper.
func (l *lineage) killStrays() {
	sweep(func(parents map[int]int) (found []int) {
		for pid := range parents {
			if l.keepers[pid] == nil && !l.kept(parents, pid) {
				found = append(found, pid)
			}
		}
		return found
	})
}

func (l *lineage) kept(parents map[int]int, pid int) bool {
	for range len(parents) {
		if l.keepers[pid] != nil {
			return true
		}
		pid = parents[pid]
	}
	return false
}

// signalAll begins with the programs' own processes: one that sees a child of its
// end before it has the signal itself could go on and leave with a status.
func (l *lineage) signalAll(sig unix.Signal) error {
	done := map[int]bool{}
	for _, f := range l.keepers {
		if f.signal(0, sig) == nil {
			done[f.child] = true
		}
	}
	all := func(parents map[int]int) (found []int) {
		for pid := range parents {
			if l.keepers[pid] == nil {
				found = append(found, pid)
			}
		}
		return found
	}
	if sig == unix.SIGKILL {
		return sweep(all)
	}
	for _, pid := range all(parents()) {
		if !done[pid] {
			unix.Kill(pid, sig)
		}
	}
	return nil
}

// sweep kills what find finds, until that is nothing.
func sweep(find func(parents map[int]int) []int) error {
	for start := time.Now(); time.Since(start) < killTimeout; {
		found := find(parents())
		if len(found) == 0 {
			return nil
		}
		for _, pid := range found {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
	return unix.ETIMEDOUT
}

// parents maps each living process, but the first one and the kernel's, to its parent.
func parents() map[int]int {
	all := map[int]int{}
	for _, pid := range processes() {
		stat := readFile("/proc/" + strconv.Itoa(pid) + "/stat")
		_, rest, _ := strings.Cut(stat[max(0, strings.LastIndexByte(stat, ')')):], ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err == nil && pid != 1 && parent != 0 {
			all[pid] = parent
		}
	}
	if _, ordinary := all[2]; ordinary {
		return all
	}
	for pid, parent := range all {
		if parent == 2 { // kthreadd, which has no parent
			delete(all, pid)
		}
	}
	return all
}

// lineal is a program with a keeper.
type lineal struct {
	l      *lineage
	id     uint32
	keeper int
	result int // read end of the pipe over which the keeper tells the end
	child  int // the program's own process
	pidfd  int // of it; -1 when it has ended
	told   bool
	end    keeperReport
}

func (f *lineal) fork(launcher int, fds []int, who syscall.Credential, terminal bool) (int, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return 0, err
	}
	attr := &syscall.ProcAttr{Dir: "/", Sys: &syscall.SysProcAttr{Setsid: true}}
	for _, fd := range append(append([]int(nil), fds...), launcher, pipe[1]) {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	pid, err := syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(f.l.a.self), keeperArgs(who, terminal), attr)
	unix.Close(pipe[1])
	if err != nil {
		unix.Close(pipe[0])
		return 0, err
	}
	f.keeper, f.result = pid, pipe[0]
	f.l.keepers[pid] = f
	var first [4]byte
	if n, err := unix.Read(f.result, first[:]); n != len(first) || err != nil {
		unix.Close(f.result)
		return 0, unix.EIO // what it has started is killed when it is reaped
	}
	f.child = int(le.Uint32(first[:]))
	if f.pidfd, err = unix.PidfdOpen(f.child, 0); err != nil {
		f.pidfd = -1 // it has ended already
	}
	unix.SetNonblock(f.result, true)
	return f.child, f.l.a.poll.watch(f.result, unix.EPOLLIN, func(uint32) { f.report() })
}

// report takes the program's end, or that of the keeper, which comes first only when
// somebody has killed it.
func (f *lineal) report() {
	var buf [keeperReportSize]byte
	n, err := unix.Read(f.result, buf[:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	f.l.a.poll.unwatch(f.result)
	unix.Close(f.result)
	f.told = true
	f.end = keeperReport{status: uint32(unix.SIGKILL), own: wire.Unknown, all: wire.Unknown}
	if n == len(buf) {
		f.end = decodeKeeperReport(buf[:])
	} else {
		delete(f.l.keepers, f.keeper)
		f.l.killStrays()
	}
	if p := f.l.a.programs[f.id]; p != nil {
		p.peak = f.end.peak
		p.hasEnded(unix.WaitStatus(f.end.status), f.end.own)
	}
}

// refused is never so: see limit.
func (f *lineal) refused() bool { return false }

func (f *lineal) pid(child int) int { return child }

func (f *lineal) signal(_ int, sig unix.Signal) error {
	if f.pidfd < 0 {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(f.pidfd, sig, nil, 0)
}

func (f *lineal) killAll() error {
	f.signal(f.child, unix.SIGKILL) // before what it may be waiting for: see signalAll
	return sweep(func(parents map[int]int) (found []int) {
		for pid := range parents {
			if pid != f.keeper && descends(parents, pid, f.keeper) {
				found = append(found, pid)
			}
		}
		return found
	})
}

func descends(parents map[int]int, pid, from int) bool {
	for range len(parents) {
		if pid = parents[pid]; pid == from {
			return true
		}
	}
	return false
}

func (f *lineal) cpuTime(uint64) uint64 { return f.end.all }

func (f *lineal) ended() {
	if f.pidfd >= 0 {
		unix.Close(f.pidfd)
		f.pidfd = -1
	}
}
