package mounts

import (
	"os"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Source is a mount whose source is open. There are none on Windows: the programs of
// its engine see the host's own file systems.
type Source struct {
	Spec Spec
}

// OpenAll validates the mounts of a sandbox, and refuses all.
func OpenAll(specs []Spec, reserved ...string) ([]*Source, error) {
	specs, err := Validate(specs, reserved...)
	if err != nil || len(specs) == 0 {
		return nil, err
	}
	return nil, fault.New(fault.Unsupported, fault.StageRoot,
		"%s: the engine job has no file system of its own to mount anything in: its programs see that of the host", specs[0])
}

// CloseAll closes the sources.
func CloseAll([]*Source) {}

// Pack describes the sources and lists their files: none.
func Pack([]*Source) (entries []Entry, files []*os.File) { return nil, nil }

// Unpack is Pack's inverse in the receiving process.
func Unpack(entries []Entry, files []*os.File, reserved ...string) ([]*Source, error) {
	specs := Specs(entries)
	return OpenAll(specs, reserved...)
}
