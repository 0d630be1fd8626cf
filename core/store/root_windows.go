package store

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// Root is an open state root. All is done by path: a file that is open cannot be
// renamed away here, and the directory is the user's alone.
type Root struct {
	path string // absolute
	dir  string // of the sandboxes
}

// OpenRoot opens the state root and makes it when missing, for the user alone. One
// that exists must belong to the user, or to the administrators.
func OpenRoot(path string) (*Root, error) {
	if err := winsys.MakePrivateDir(filepath.Join(path, "sandboxes")); err != nil {
		return nil, rootError(err, path)
	}
	return openRoot(path)
}

// openOwned checks a directory below a state directory, which must be the user's.
func openOwned(path, below string) (string, error) {
	full := filepath.Join(path, below)
	for _, p := range []string{path, full} {
		dir, err := winsys.OpenDir(p)
		if err != nil {
			return "", rootError(err, path)
		}
		own, owner, err := winsys.OwnedByUser(dir)
		dir.Close()
		if err != nil {
			return "", rootError(err, path)
		}
		if !own {
			return "", fault.New(fault.Permission, fault.StageState,
				"state directory %q belongs to %s: it must be yours, or give another one", p, owner)
		}
	}
	return full, nil
}

// Close releases the root.
func (r *Root) Close() error { return nil }

// Dir is the absolute path of the directory that the sandboxes' directories lie in.
func (r *Root) Dir() string { return r.dir }

func (r *Root) entries() ([]string, error) {
	files, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageState, "list state directory "+r.path)
	}
	var keys []string
	for _, f := range files {
		if isKey(f.Name()) {
			keys = append(keys, f.Name())
		}
	}
	return keys, nil
}

// read parses the record of an entry.
func (r *Root) read(entry string) (Record, error) {
	var rec Record
	data, err := readFile(filepath.Join(r.dir, entry, recordName))
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	return rec, err
}

// readFile reads a record in a way that does not keep it from being replaced.
func readFile(path string) ([]byte, error) {
	file, err := winsys.Open(path, windows.GENERIC_READ, winsys.Share, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, nil)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, 1<<20))
}

// writeFile writes a record, as one step for readers and across a power cut.
func writeFile(path, temp string, data []byte) error {
	file, err := winsys.Open(temp, windows.GENERIC_WRITE, windows.FILE_SHARE_READ, windows.CREATE_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL, nil)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if serr := file.Sync(); err == nil {
		err = serr
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = winsys.Replace(temp, path)
	}
	if err != nil {
		os.Remove(temp)
	}
	return err
}

// userDefault is the user's local application data directory.
func userDefault() (string, error) {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_LocalAppData, 0)
	if err != nil {
		return "", fault.Wrap(err, fault.IO, fault.StageState, "the user's local application data directory")
	}
	return filepath.Join(dir, "microsandbox"), nil
}
