package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/libmicrosandbox/microsandbox/core/dir"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// Shelf is the directory of stored sandboxes, one file each.
type Shelf struct {
	path string
	dir  string
}

// OpenShelf opens the shelf below a state directory and makes it when missing.
func OpenShelf(path string) (*Shelf, error) {
	if err := winsys.MakePrivateDir(filepath.Join(path, "stored")); err != nil {
		return nil, rootError(err, path)
	}
	return openShelf(path)
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
// killed one left is used again.
func (s *Shelf) temp(name string) string { return filepath.Join(s.dir, tempFile(name)) }

func (s *Shelf) read(file string) (Stored, error) {
	data, err := readFile(filepath.Join(s.dir, file))
	if err != nil {
		return Stored{}, err
	}
	return parseStored(data)
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

// Withdraw forgets a name, but leaves its log to be read.
func (s *Shelf) Withdraw(name string) error {
	os.Remove(s.temp(name))
	if err := winsys.Remove(s.file(name)); err != nil {
		return fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("remove stored sandbox %q", name))
	}
	return nil
}

func (s *Shelf) has(file string) (bool, error) {
	_, err := os.Lstat(filepath.Join(s.dir, file))
	if os.IsNotExist(err) {
		return false, nil
	}
	return err == nil, err
}

func (s *Shelf) files() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageState, "list stored sandboxes in "+s.path)
	}
	var files []string
	for _, entry := range entries {
		files = append(files, entry.Name())
	}
	return files, nil
}
