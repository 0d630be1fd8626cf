package disklock

import (
	"errors"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Set holds the locks of one sandbox. An image is in it once, whatever the
// modes: a guest that has one disk twice destroys it without any help. The zero
// Set is empty. It is not for use by several goroutines at once.
type Set struct{ held []*Held }

// Lock locks the image at path and adds it. An image that is in the set already
// is refused, through links, ".." and other names of the same file too.
func (s *Set) Lock(path string, mode Mode, names Names) (*Held, error) {
	file, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	id, err := identify(file, path)
	if err != nil {
		return nil, err
	}
	if err := s.check(id, path); err != nil {
		return nil, err
	}
	h, err := LockFile(file, path, mode, names)
	if err == nil {
		s.held = append(s.held, h)
	}
	return h, err
}

// Add adds a lock, which from then on is the set's. On error it is closed.
func (s *Set) Add(h *Held) error {
	if err := s.check(h.id, h.path); err != nil {
		h.Close()
		return err
	}
	s.held = append(s.held, h)
	return nil
}

func (s *Set) check(id identity, path string) error {
	for _, h := range s.held {
		if h.id == id {
			return fault.New(fault.Invalid, fault.StageArgument,
				"disk image %q is the same file as %q, which this sandbox has already: attach it once", path, h.path)
		}
	}
	return nil
}

// Held lists the locks in the order in which they were added.
func (s *Set) Held() []*Held { return s.held }

// Close closes all descriptors of the set and empties it.
func (s *Set) Close() error {
	var err error
	for _, h := range s.held {
		err = errors.Join(err, h.Close())
	}
	s.held = nil
	return err
}
