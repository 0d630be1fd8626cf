// Package store keeps what the library knows of living sandboxes on disk: one
// directory per sandbox under the state root, with a record, a control socket
// and a lock. A sandbox lives exactly as long as its supervisor holds the lock;
// a process id in a file proves nothing.
package store

import (
	"fmt"
	"path/filepath"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Location says where the state root is. The zero value is the default place of
// the effective user. Environment values are passed in: Go's copy of the
// environment is as old as the library's load.
type Location struct {
	Dir           string // the root itself, from an option
	MsbHome       string // $MSB_HOME
	XDGRuntimeDir string // $XDG_RUNTIME_DIR
	XDGDataHome   string // $XDG_DATA_HOME
	Home          string // $HOME
}

// MaxDir is the longest state directory in bytes: the longest name inside it
// must still fit into PATH_MAX.
const MaxDir = 3000

// Resolve returns the absolute path of the state root.
func (l Location) Resolve() (string, error) {
	dir := l.Dir
	switch {
	case dir != "":
	case l.MsbHome != "":
		dir = l.MsbHome
	case filepath.IsAbs(l.XDGRuntimeDir):
		dir = filepath.Join(l.XDGRuntimeDir, "microsandbox")
	default:
		var err error
		if dir, err = userDefault(); err != nil {
			return "", err
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("state directory %q", dir))
	}
	if len(abs) > MaxDir {
		return "", fault.New(fault.Invalid, fault.StageState, "state directory is %d bytes long, at most %d are allowed", len(abs), MaxDir)
	}
	return abs, nil
}

// ResolveStored returns where the configurations of stored sandboxes are: a place
// that outlives a reboot where there is one.
func (l Location) ResolveStored() (string, error) {
	switch {
	case l.Dir != "" || l.MsbHome != "":
	case filepath.IsAbs(l.XDGDataHome):
		return filepath.Join(l.XDGDataHome, "microsandbox"), nil
	case filepath.IsAbs(l.Home):
		return filepath.Join(l.Home, ".local/share/microsandbox"), nil
	}
	return l.Resolve()
}
