package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/logs"
)

const shelfSuffix = ".json"

// OpenExistingShelf is OpenShelf for readers: nil without an error when there is none.
func OpenExistingShelf(path string) (*Shelf, error) {
	s, err := openShelf(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return s, err
}

// Get returns what is stored under a name; NotFound when nothing is.
func (s *Shelf) Get(name string) (Stored, error) {
	rec, err := s.read(key(name) + shelfSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return rec, fault.New(fault.NotFound, fault.StageState, "no sandbox named %q is stored in %q", name, s.path)
	}
	if err != nil {
		return rec, fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("stored sandbox %q", name))
	}
	return rec, nil
}

func parseStored(data []byte) (Stored, error) {
	var rec Stored
	err := json.Unmarshal(data, &rec)
	if err == nil && rec.Version != recordVersion {
		err = fmt.Errorf("record of version %d, this library knows %d", rec.Version, recordVersion)
	}
	return rec, err
}

// tempFile is where a record is written first; it is no record's name.
func tempFile(name string) string { return "." + key(name) + shelfSuffix }

// Delete forgets a name and its log. Nothing stored is no error.
func (s *Shelf) Delete(name string) error {
	if err := logs.Remove(s.FD(), LogName(name)); err != nil {
		return fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("remove log of sandbox %q", name))
	}
	return s.Withdraw(name)
}

// All returns every readable record.
func (s *Shelf) All() ([]Stored, error) {
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	var all []Stored
	for _, file := range files {
		if isKey(strings.TrimSuffix(file, shelfSuffix)) {
			if rec, err := s.read(file); err == nil {
				all = append(all, rec)
			}
		}
	}
	return all, nil
}

// HasLog reports whether there is a log of this name.
func (s *Shelf) HasLog(name string) bool {
	has, _ := s.has(LogName(name))
	return has
}

// LooseLogs names the sandboxes of which there is a log but no record: a first boot
// that failed leaves it to be read.
func (s *Shelf) LooseLogs() []string {
	var names []string
	files, _ := s.files()
	for _, file := range files {
		base, ok := strings.CutSuffix(file, logSuffix)
		if !ok || !isKey(base) {
			continue
		}
		if has, err := s.has(base + shelfSuffix); !has && err == nil {
			names = append(names, logs.Name(s.FD(), file))
		}
	}
	return names
}
