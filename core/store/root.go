package store

import (
	"errors"
	"os"
)

// OpenExistingRoot is OpenRoot for readers: nil without an error when there is none.
func OpenExistingRoot(path string) (*Root, error) {
	root, err := openRoot(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return root, err
}

func openRoot(path string) (*Root, error) {
	dir, err := openOwned(path, "sandboxes")
	if err != nil {
		return nil, err
	}
	return &Root{path: path, dir: dir}, nil
}

// Path is the state root's absolute path.
func (r *Root) Path() string { return r.path }
