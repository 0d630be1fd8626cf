package core

import (
	"errors"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/dir"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/logs"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// LogOptions say what of a log to read.
type LogOptions = logs.Options

// LogReader reads a log: entry by entry with Next, or as a sequence with All.
type LogReader = logs.Reader

// LogEntry is one piece of what was said.
type LogEntry = logs.Entry

// logBegins bounds the wait for the log of a sandbox that has just got its name.
const (
	logBegins = 2 * time.Second
	logPoll   = 5 * time.Millisecond
)

// ReadLogs opens the log of a living sandbox, or of a stored one, its failed start
// too. The supervisor is not asked, and not slowed down.
func ReadLogs(name string, state State, o LogOptions) (*LogReader, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(logBegins); ; time.Sleep(logPoll) {
		r, living, err := openLog(name, state, o)
		if !living || time.Now().After(deadline) || !errors.Is(err, &fault.Error{Code: fault.NotFound}) {
			return r, err
		}
	}
}

// openLog also tells whether the sandbox lives: then a log that is not there yet
// will be in a moment.
func openLog(name string, state State, o LogOptions) (r *LogReader, living bool, err error) {
	path, err := state.Resolve()
	if err != nil {
		return nil, false, err
	}
	root, err := store.OpenExistingRoot(path)
	if err != nil {
		return nil, false, err
	}
	if root != nil {
		defer root.Close()
		rec, folder, ferr := root.Find(name)
		if ferr == nil {
			defer folder.Close()
			living = !rec.Momentary
		}
		if living && !rec.Stored {
			r, err = logs.Open(dir.Of(folder), store.LogDir, o)
			return r, living, err
		}
	}
	shelfPath, err := state.ResolveStored()
	if err != nil {
		return nil, living, err
	}
	shelf, err := store.OpenExistingShelf(shelfPath)
	if err != nil {
		return nil, living, err
	}
	if shelf == nil || !shelf.HasLog(name) {
		if shelf != nil {
			shelf.Close()
		}
		return nil, living, fault.New(fault.NotFound, fault.StageState,
			"no log of a sandbox named %q: that of a temporary one goes with its sandbox", name)
	}
	defer shelf.Close()
	r, err = logs.Open(shelf.FD(), store.LogName(name), o)
	return r, living, err
}
