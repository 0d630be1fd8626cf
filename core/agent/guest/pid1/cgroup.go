package pid1

import (
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// cgroups gives each program a cgroup of its own: p and its number, below base. No
// program sees the hierarchy: it is mounted nowhere.
type cgroups struct {
	base    int // descriptor of the directory
	kills   bool
	most    uint64          // processes of all programs, 0: no limit
	lingers map[string]bool // of ended programs whose children may live
}

const programsGroup = "programs"

// newKiller takes the best that the kernel has.
func newKiller(a *Agent) killer {
	if parameter("kill") == "lineage" {
		return newLineage(a)
	}
	var base int
	var err error
	if given := parameter("cgroup"); given != "" {
		base, err = strconv.Atoi(given)
	} else {
		base, err = mountCgroups()
	}
	if err != nil {
		return newLineage(a)
	}
	c := &cgroups{base: base, kills: parameter("kill") != "freeze", lingers: map[string]bool{}}
	if unix.Faccessat(base, "cgroup.kill", unix.W_OK, 0) != nil {
		c.kills = false // before Linux 5.14
	}
	return c
}

// mountCgroups returns a directory in cgroup v2 that is in no mount namespace.
func mountCgroups() (int, error) {
	fs, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	// Since Linux 6.11 a refused fork is told to the group with the limit alone, but for
	// this; before, to that of who forked.
	unix.FsconfigSetFlag(fs, "pids_localevents")
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Mkdirat(root, programsGroup, 0o755); err != nil && err != unix.EEXIST {
		return -1, err
	}
	writeAt(root, "cgroup.subtree_control", "+pids") // see limit
	return unix.Openat(root, programsGroup, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

func (c *cgroups) how() uint8 {
	if c.kills {
		return wire.KillCgroup
	}
	return wire.KillFreeze
}

func (c *cgroups) direct() bool { return true }

func (c *cgroups) newFamily(id uint32) (family, error) {
	name := "p" + strconv.FormatUint(uint64(id), 10)
	if err := unix.Mkdirat(c.base, name, 0o755); err != nil {
		return nil, err
	}
	dir, err := unix.Openat(c.base, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &cgroup{c: c, name: name, dir: dir}, nil
}

// owner reads the last cgroup of a process: a line "0::/…/p7".
func (c *cgroups) owner(pid int) uint32 {
	for _, line := range strings.Split(readFile("/proc/"+strconv.Itoa(pid)+"/cgroup"), "\n") {
		path, ok := strings.CutPrefix(line, "0::/")
		if !ok {
			continue
		}
		for _, part := range strings.Split(path, "/") {
			if number, ok := strings.CutPrefix(part, "p"); ok {
				if id, err := strconv.ParseUint(number, 10, 32); err == nil {
					return uint32(id)
				}
			}
		}
	}
	return 0
}

// strayed frees the cgroups that have become empty.
func (c *cgroups) strayed(int) {
	for name := range c.lingers {
		if unix.Unlinkat(c.base, name, unix.AT_REMOVEDIR) != unix.EBUSY {
			delete(c.lingers, name)
		}
	}
}

func (c *cgroups) signalAll(sig unix.Signal) error { return unix.Kill(-1, sig) }

// usage is the processor time of all programs, in nanoseconds.
func (c *cgroups) usage() uint64 { return cpuStat(c.base) }

// cgroup is a program's.
type cgroup struct {
	c    *cgroups
	name string
	dir  int
	met  uint64 // refusals that are not the program's
}

func (g *cgroup) fork(launcher int, fds []int, who syscall.Credential, terminal bool) (int, error) {
	attr := attributes(fds, who, terminal)
	attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, g.dir
	return g.forkBeyond(launcher, attr)
}

// forkLauncher executes the launcher. The child is not protected from the kernel's
// out-of-memory killer, as we are.
func forkLauncher(launcher int, attr *syscall.ProcAttr) (int, error) {
	protect(false)
	defer protect(true)
	return syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(launcher), []string{"launch"}, attr)
}

func (g *cgroup) pid(child int) int { return child }

func (g *cgroup) signal(child int, sig unix.Signal) error { return unix.Kill(child, sig) }

func (g *cgroup) killAll() error {
	if g.c.kills {
		return writeAt(g.dir, "cgroup.kill", "1")
	}
	// Frozen processes start nothing, and can be killed.
	if err := writeAt(g.dir, "cgroup.freeze", "1"); err != nil {
		return err
	}
	for range 100 {
		if strings.Contains(readAt(g.dir, "cgroup.events"), "frozen 1") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for _, line := range strings.Fields(readAt(g.dir, "cgroup.procs")) {
		if pid, err := strconv.Atoi(line); err == nil && pid > 1 {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
	return writeAt(g.dir, "cgroup.freeze", "0")
}

func (g *cgroup) cpuTime(own uint64) uint64 {
	all := cpuStat(g.dir)
	if all == wire.Unknown || own == wire.Unknown {
		return all
	}
	return max(all, own)
}

func (g *cgroup) ended() {
	unix.Close(g.dir)
	if unix.Unlinkat(g.c.base, g.name, unix.AT_REMOVEDIR) == unix.EBUSY {
		g.c.lingers[g.name] = true
	}
}

// cpuStat reads the time that a cgroup's processes have used, ended ones too.
func cpuStat(dir int) uint64 {
	first, _, _ := strings.Cut(readAt(dir, "cpu.stat"), "\n")
	microseconds, ok := strings.CutPrefix(first, "usage_usec ")
	n, err := strconv.ParseUint(microseconds, 10, 54)
	if !ok || err != nil {
		return wire.Unknown
	}
	return n * 1000
}
