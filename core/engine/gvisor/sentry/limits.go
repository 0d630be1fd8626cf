package sentry

import (
	"maps"

	"gvisor.dev/gvisor/pkg/fspath"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/limits"
	"gvisor.dev/gvisor/pkg/sentry/vfs"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
)

// softOpenFiles is what programs that know nothing of it get: select(2) takes no more.
const softOpenFiles = 1024

// setLimits takes the limits of the machine; 0 is none.
func (l *lineage) setLimits(config map[string]any) {
	if most, _ := config[wire.ConfigProcesses].(float64); most > 0 {
		l.most = int(most)
	}
	if most, _ := config[wire.ConfigOpenFiles].(float64); most > 0 {
		l.limits.SetUnchecked(limits.NumberOfFiles, limits.Limit{Cur: min(uint64(most), softOpenFiles), Max: uint64(most)})
	}
}

// tooMany reports whether the machine has more tasks than it may, child among them,
// which t has just made. Zombies count: they cost memory too.
func (l *lineage) tooMany(t, child *kernel.Task) bool {
	const init = 1
	tasks := t.Kernel().TaskSet().Root
	if l.most == 0 || tasks.NumTasks() <= l.most+init || l.living(tasks) <= l.most+init {
		return false
	}
	f := l.familyOf(t)
	l.mu.Lock()
	defer l.mu.Unlock()
	if child != nil {
		l.turnedAway[child] = struct{}{}
	}
	if f != nil {
		f.flags |= wire.FlagRefused
	}
	if !l.refused {
		l.refused = true
		l.send(wire.Frame{Kind: wire.Refused})
	}
	return true
}

// living counts tasks, but not those that were turned away: such a task never runs,
// and ends a moment after its maker has been told.
func (l *lineage) living(tasks *kernel.PIDNamespace) int {
	l.mu.Lock()
	gone := maps.Clone(l.turnedAway)
	l.mu.Unlock()
	all := tasks.Tasks()
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(all)
	for _, t := range all {
		if _, ok := l.turnedAway[t]; ok {
			n--
			delete(gone, t)
		}
	}
	for t := range gone {
		delete(l.turnedAway, t)
	}
	return n
}

// overlayFull reports whether one of the file systems that take a guest's changes
// has no room left, as the ending task t sees them.
func overlayFull(t *kernel.Task) bool {
	fs := t.FSContext()
	if fs == nil {
		return false
	}
	root := fs.RootDirectory()
	if !root.Ok() {
		return false
	}
	defer root.DecRef(t)
	for _, path := range []string{"/", "/tmp", "/dev/shm"} {
		where := vfs.PathOperation{Root: root, Start: root, Path: fspath.Parse(path)}
		st, err := t.Kernel().VFS().StatFSAt(t, t.Credentials(), &where)
		if err == nil && (st.Blocks > 0 && st.BlocksFree == 0 || st.Files > 0 && st.FilesFree == 0) {
			return true
		}
	}
	return false
}

// filesFull reports whether the ending task has as many files open as it may.
func filesFull(t *kernel.Task) bool {
	table := t.FDTable()
	most := t.ThreadGroup().Limits().Get(limits.NumberOfFiles).Cur
	return table != nil && uint64(table.GetLastFd())+1 >= most && uint64(len(table.GetFDs(t))) >= most
}
