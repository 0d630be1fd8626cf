package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core/dir"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/logs"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// Shelf is the directory of stored sandboxes, one file each.
type Shelf struct {
	path string
	dir  string
}

const shelfSuffix = ".json"

// OpenShelf opens the shelf below a state directory and makes it when missing.
func OpenShelf(path string) (*Shelf, error) {
	if err := winsys.MakePrivateDir(filepath.Join(path, "stored")); err != nil {
		return nil, rootError(err, path)
	}
	return openShelf(path)
}

// OpenExistingShelf is OpenShelf for readers: nil without an error when there is none.
func OpenExistingShelf(path string) (*Shelf, error) {
	s, err := openShelf(path)
	if os.IsNotExist(unwrapped(err)) {
		return nil, nil
	}
	return s, err
}

func openShelf(path string) (*Shelf, error) {
	d, err := openOwned(path, "stored")
	if err != nil {
		return nil, err
	}
	return &Shelf{path: path, dir: d}, nil
}

// Close releases the shelf.
func (s *Shelf) Close() error { return nil }

// FD refers to the directory.
func (s *Shelf) FD() dir.Ref { return s.dir }

func (s *Shelf) file(name string) string { return filepath.Join(s.dir, key(name)+shelfSuffix) }

// temp is where a record is written first. There is one writer at a time, so what a
// killed one left is used again; it is no record's name.
func (s *Shelf) temp(name string) string { return filepath.Join(s.dir, "."+key(name)+shelfSuffix) }

// Get returns what is stored under a name; NotFound when nothing is.
func (s *Shelf) Get(name string) (Stored, error) {
	rec, err := s.read(s.file(name))
	if os.IsNotExist(err) {
		return rec, fault.New(fault.NotFound, fault.StageState, "no sandbox named %q is stored in %q", name, s.path)
	}
	if err != nil {
		return rec, fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("stored sandbox %q", name))
	}
	return rec, nil
}

func (s *Shelf) read(path string) (Stored, error) {
	var rec Stored
	data, err := readFile(path)
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	if err == nil && rec.Version != recordVersion {
		err = fmt.Errorf("record of version %d, this library knows %d", rec.Version, recordVersion)
	}
	return rec, err
}

// Put stores a record, as one step, also across a power cut.
func (s *Shelf) Put(rec Stored) error {
	rec.Version = recordVersion
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	failpoint.Point("stored.written")
	if err := writeFile(s.file(rec.Name), s.temp(rec.Name), data); err != nil {
		return fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("store sandbox %q in %q", rec.Name, s.path))
	}
	return nil
}

// Delete forgets a name and its log. Nothing stored is no error.
func (s *Shelf) Delete(name string) error {
	if err := logs.Remove(s.FD(), LogName(name)); err != nil {
		return fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("remove log of sandbox %q", name))
	}
	return s.Withdraw(name)
}

// Withdraw forgets a name, but leaves its log to be read.
func (s *Shelf) Withdraw(name string) error {
	os.Remove(s.temp(name))
	if err := winsys.Remove(s.file(name)); err != nil {
		return fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("remove stored sandbox %q", name))
	}
	return nil
}

// All returns every readable record.
func (s *Shelf) All() ([]Stored, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageState, "list stored sandboxes in "+s.path)
	}
	var all []Stored
	for _, file := range files {
		if isKey(strings.TrimSuffix(file.Name(), shelfSuffix)) {
			if rec, err := s.read(filepath.Join(s.dir, file.Name())); err == nil {
				all = append(all, rec)
			}
		}
	}
	return all, nil
}

// HasLog reports whether there is a log of this name.
func (s *Shelf) HasLog(name string) bool {
	_, err := os.Lstat(filepath.Join(s.dir, LogName(name)))
	return err == nil
}

// LooseLogs names the sandboxes of which there is a log but no record: a first boot
// that failed leaves it to be read.
func (s *Shelf) LooseLogs() []string {
	var names []string
	files, _ := os.ReadDir(s.dir)
	for _, file := range files {
		base, ok := strings.CutSuffix(file.Name(), logSuffix)
		if !ok || !isKey(base) {
			continue
		}
		if _, err := os.Lstat(filepath.Join(s.dir, base+shelfSuffix)); os.IsNotExist(err) {
			names = append(names, logs.Name(s.FD(), file.Name()))
		}
	}
	return names
}
