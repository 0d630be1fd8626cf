package runtime

import (
	"fmt"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/cgroup"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// confineDelay is how long after its start a sandbox without limits of processor
// time gets its control group. The first move of a process into one can make every
// fork on the machine wait for some 17 ms, and the start belongs to the first
// program; until then, and beside it, the engine looks at the memory itself.
const confineDelay = 250 * time.Millisecond

// memorySlack is what the control group allows beyond the memory limit. The engine
// lets a machine be over it for a moment, since freed memory returns late; the group
// is for what takes memory faster than the engine looks.
func memorySlack(limit uint64) uint64 { return min(limit/8, 32<<20) }

// confine puts the engine into control groups of its own, where that is possible.
// Limits of processor time need them: without, it fails.
func (s *supervisor) confine() error {
	wanted := s.cfg.Limits.CPUPermille > 0 || s.cfg.Limits.CPUWeight > 0
	err := s.makeGroup(wanted)
	if err == nil {
		return nil
	}
	if wanted {
		return fault.New(fault.Setup, fault.StageEngine,
			"cpu_permille, cpu_weight: %v: run where a control group with the cpu controller may be written, or leave them 0", err)
	}
	s.log.Printf("memory limit without a control group: %v", err)
	return nil
}

// makeGroup records where the groups will be, so that whoever finds this process
// dead can remove them, makes them, and moves the engine there.
func (s *supervisor) makeGroup(cpu bool) error {
	machine, ok := s.machine.(engine.Confined)
	if !ok {
		return fmt.Errorf("the engine %s cannot be put into one", s.engine.Name())
	}
	_, fixed := s.machine.(engine.FixedMemory)
	if fixed && !cpu {
		return nil
	}
	host, err := cgroup.Look()
	if err != nil {
		return err
	}
	memory, processor := host.Find(cgroup.Memory), cgroup.Place{}
	if cpu {
		if processor = host.Find(cgroup.CPU); processor.Version == 0 {
			return fmt.Errorf("no control group for processor time: %s", processor.Why)
		}
	} else if memory.Version == 0 {
		return fmt.Errorf("no control group for memory: %s", memory.Why)
	}
	bytes := s.cfg.MemoryBytes + memorySlack(s.cfg.MemoryBytes)
	if fixed {
		memory, bytes = cgroup.Place{}, 0
	}
	name := cgroup.Name(store.CgroupOwner(s.cfg.StateDir), s.cfg.ID)
	if err := s.noteGroups(cgroup.Dirs(memory, processor, name)); err != nil {
		return err
	}
	failpoint.Point("confine.noted")
	g, err := cgroup.Make(memory, processor, name, cgroup.Limits{
		MemoryBytes: bytes,
		CPUPermille: s.cfg.Limits.CPUPermille, CPUWeight: s.cfg.Limits.CPUWeight,
	})
	if err != nil {
		return err
	}
	failpoint.Point("confine.made")
	if err := machine.Confine(g); err != nil {
		g.Remove()
		return err
	}
	s.mu.Lock()
	s.group = g
	s.mu.Unlock()
	failpoint.Point("confine.moved")
	return nil
}

func (s *supervisor) noteGroups(dirs []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claim == nil {
		return fmt.Errorf("the sandbox has ended")
	}
	return s.claim.Update(func(r *store.Record) { r.Cgroups = dirs })
}

// confineLater does it beside the first programs. The channel is closed once it is
// done, or will not be.
func (s *supervisor) confineLater() <-chan struct{} {
	done := make(chan struct{})
	s.mu.Lock()
	already := s.group != nil
	s.mu.Unlock()
	if already {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		timer := time.NewTimer(confineDelay)
		defer timer.Stop()
		select {
		case <-timer.C:
			s.confine()
		case <-s.ending:
		case <-s.machine.Done():
		}
	}()
	return done
}

// removeGroup removes the groups, after the machine.
func (s *supervisor) removeGroup() {
	s.mu.Lock()
	g := s.group
	s.group = nil
	s.mu.Unlock()
	if g == nil {
		return
	}
	if err := g.Remove(); err != nil {
		s.log.Printf("control group: %v", err)
	}
}

// processors is the line of the receipt about them.
func (s *supervisor) processors() string {
	l := s.cfg.Limits
	s.mu.Lock()
	group := s.group
	s.mu.Unlock()
	if group == nil || l.CPUPermille == 0 && l.CPUWeight == 0 {
		return "processors: no limit"
	}
	_, mechanism := group.Notes()
	return fmt.Sprintf("processors: quota %d permille, weight %d, 0 is none (%s)", l.CPUPermille, l.CPUWeight, mechanism)
}
