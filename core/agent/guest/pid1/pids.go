package pid1

import (
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// limit bounds the processes of all programs, threads and zombies included.
func (c *cgroups) limit(processes uint32) error {
	if err := writeAt(c.base, "cgroup.subtree_control", "+pids"); err != nil { // programs' groups tell of refusals
		return err
	}
	c.most = uint64(processes)
	return c.allow(c.most)
}

func (c *cgroups) allow(processes uint64) error {
	return writeAt(c.base, "pids.max", strconv.FormatUint(processes, 10))
}

// forkBeyond starts a program whether or not there is room for it: an owner can look at
// a sandbox that is full. Others may take the room that is made for it, but not more.
func (g *cgroup) forkBeyond(launcher int, attr *syscall.ProcAttr) (pid int, err error) {
	const attempts = 100
	for range attempts {
		current := g.c.current()
		full := g.c.most > 0 && current >= g.c.most
		if full {
			g.c.allow(current + 1)
		}
		pid, err = forkLauncher(launcher, attr)
		if full {
			g.c.allow(g.c.most)
		}
		if err != unix.EAGAIN || g.c.most == 0 {
			break
		}
		g.met = g.c.refusals(g.dir) // ours, not the program's
	}
	return pid, err
}

// current is how many processes the programs have.
func (c *cgroups) current() uint64 {
	if c.most == 0 {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(readAt(c.base, "pids.current")), 10, 32)
	return n
}

// refusals is how often a group was refused a process.
func (c *cgroups) refusals(dir int) uint64 {
	if c.most == 0 {
		return 0
	}
	for line := range strings.Lines(readAt(dir, "pids.events")) {
		if text, ok := strings.CutPrefix(line, "max "); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
			return n
		}
	}
	return 0
}

func (g *cgroup) refused() bool { return g.c.refusals(g.dir) > g.met }
