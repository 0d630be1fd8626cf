package mounts

import (
	"os"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// OpenAll validates the mounts of a sandbox and opens their sources. On error
// nothing stays open.
func OpenAll(specs []Spec, reserved ...string) ([]*Source, error) {
	specs, err := Validate(specs, reserved...)
	if err != nil {
		return nil, err
	}
	sources := make([]*Source, 0, len(specs))
	for _, spec := range specs {
		s, err := Open(spec)
		if err != nil {
			CloseAll(sources)
			return nil, err
		}
		sources = append(sources, s)
	}
	if err := checkNesting(sources); err != nil {
		CloseAll(sources)
		return nil, err
	}
	return sources, nil
}

// CloseAll closes the sources.
func CloseAll(sources []*Source) {
	for _, s := range sources {
		s.Close()
	}
}

// checkNesting refuses a mount inside one that is a single file.
func checkNesting(sources []*Source) error {
	for _, file := range sources {
		if file.Dir || file.Spec.Kind == EROFS || file.Spec.Kind == Disk {
			continue
		}
		for _, s := range sources {
			if s != file && below(s.Spec.Target, file.Spec.Target) {
				return s.Spec.invalid("the target lies in %q, where a single file is mounted", file.Spec.Target)
			}
		}
	}
	return nil
}

// Pack describes the sources and lists their files, which stay the sources'.
func Pack(sources []*Source) (entries []Entry, files []*os.File) {
	for _, s := range sources {
		e := Entry{Spec: s.Spec, FD: -1, Dev: s.dev, Ino: s.ino}
		if s.file != nil {
			e.FD = len(files)
			files = append(files, s.file)
		}
		entries = append(entries, e)
	}
	return entries, files
}

// Unpack is Pack's inverse in the receiving process: everything is checked as
// if it came from a stranger. It takes ownership of the files, on error too.
func Unpack(entries []Entry, files []*os.File, reserved ...string) ([]*Source, error) {
	u := unpacking{files: append([]*os.File(nil), files...)}
	sources, err := u.unpack(entries, reserved)
	for _, f := range u.files {
		if f != nil {
			f.Close()
		}
	}
	if err != nil {
		CloseAll(sources)
		return nil, err
	}
	return sources, nil
}

type unpacking struct {
	files []*os.File // nil once taken
}

func (u *unpacking) unpack(entries []Entry, reserved []string) ([]*Source, error) {
	specs := make([]Spec, len(entries))
	for i, e := range entries {
		specs[i] = e.Spec
	}
	specs, err := Validate(specs, reserved...)
	if err != nil {
		return nil, err
	}
	var sources []*Source
	for i, e := range entries {
		if specs[i] != e.Spec {
			return sources, e.Spec.invalid("the list of mounts is not as Validate returns it")
		}
		s, err := u.take(e)
		if err != nil {
			return sources, err
		}
		sources = append(sources, s)
	}
	for _, f := range u.files {
		if f != nil {
			return sources, fault.New(fault.Invalid, fault.StageArgument, "mounts: more descriptors than sources")
		}
	}
	return sources, checkNesting(sources)
}

// take makes the source of one entry.
func (u *unpacking) take(e Entry) (*Source, error) {
	if e.Spec.Kind == Tmpfs {
		if e.FD != -1 {
			return nil, e.Spec.invalid("a tmpfs has no descriptor")
		}
		return Open(e.Spec)
	}
	if e.FD < 0 || e.FD >= len(u.files) || u.files[e.FD] == nil {
		return nil, e.Spec.invalid("descriptor %d of the list is missing or used twice", e.FD)
	}
	file := u.files[e.FD]
	u.files[e.FD] = nil
	s, err := FromFD(e.Spec, file)
	if err != nil {
		return nil, err
	}
	if s.dev != e.Dev || s.ino != e.Ino {
		s.Close()
		return nil, e.Spec.invalid("the descriptor is not that of source %q", e.Spec.Source)
	}
	return s, nil
}
