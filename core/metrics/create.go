package metrics

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// attempts bounds how often an operation starts again because somebody replaced
// the file under it.
const attempts = 16

// openOrCreate opens the registry of a directory and makes it when there is none
// or when it is of an earlier boot, whose processes are all gone. The capacity of
// an existing one stays.
func openOrCreate(dir string, capacity uint32) (*file, error) {
	path := registryPath(dir)
	for range attempts {
		f, err := openFile(path)
		if err == nil && f.boot == bootHash() {
			return f, nil
		}
		if err == nil {
			f.Close()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := create(dir, capacity); err != nil {
			return nil, err
		}
	}
	return nil, fault.New(fault.IO, fault.StageState, "metrics registry %s: somebody keeps replacing it", path)
}

// create makes the registry under another name and moves it to its place when it
// is whole. Creators exclude each other with a lock on that other file: one that
// dies leaves nothing but that file, for the next to use.
func create(dir string, capacity uint32) error {
	path := registryPath(dir)
	if err := writable(path, registrySize(capacity)); err != nil {
		return err
	}
	temp := filepath.Join(dir, newName)
	opened, err := openShared(temp, true)
	if err != nil {
		return failed(err, temp)
	}
	f := &file{File: opened, path: temp}
	defer f.Close()
	if err := f.lock(); err != nil {
		return err
	}
	defer f.unlock()
	if still, err := f.current(); err != nil || !still {
		return err // another creator finished with it: look again
	}
	there, err := openFile(path)
	if err == nil {
		defer there.Close()
	}
	if err == nil && there.boot == bootHash() || err != nil && !errors.Is(err, fs.ErrNotExist) {
		os.Remove(temp)
		return err
	}
	if err := f.initialise(capacity); err != nil {
		os.Remove(temp)
		return err
	}
	if err := f.moveTo(path); err != nil {
		os.Remove(temp)
		return failed(err, path)
	}
	return nil
}

func (f *file) initialise(capacity uint32) error {
	st, err := f.stat()
	if err != nil {
		return err
	}
	if !st.regular || !st.own || st.links != 1 {
		return damaged(f.path, "is not a file of yours alone")
	}
	// Slots are holes until they are used: an unused one costs no memory. The file
	// is synced for state directories on a disk: a crash must not leave its name
	// without its contents.
	for _, step := range []func() error{
		f.restrict,
		func() error { return f.Truncate(0) },
		func() error { return f.Truncate(registrySize(capacity)) },
		func() error { _, err := f.WriteAt(newHeader(capacity), 0); return err },
		f.Sync,
	} {
		if err := step(); err != nil {
			return failed(err, f.path)
		}
	}
	return nil
}
