package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/process"
)

const (
	newPrefix = ".new-" // being made by the process in its name
	delPrefix = ".del-" // being removed by the process in its name
)

// Root is an open state root.
type Root struct {
	path string // absolute
	dir  *os.File
	list sync.Mutex // the directory's offset is one for all
}

// OpenRoot opens the state root and makes it when missing. It must be a
// directory of the effective user that nobody else can write.
func OpenRoot(path string) (*Root, error) {
	sandboxes := filepath.Join(path, "sandboxes")
	if err := os.MkdirAll(sandboxes, 0o700); err != nil {
		return nil, rootError(err, path)
	}
	return openRoot(path)
}

// openOwned opens a directory below a state directory, which must be the
// effective user's alone.
func openOwned(path, below string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, rootError(&os.PathError{Op: "open", Path: path, Err: err}, path)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, rootError(err, path)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return nil, fault.New(fault.Permission, fault.StageState,
			"state directory %q belongs to uid %d with mode %#o: it must be yours alone (chmod 700), or give another one", path, st.Uid, st.Mode&0o7777)
	}
	dirfd, err := unix.Openat(fd, below, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	full := filepath.Join(path, below)
	if err != nil {
		return nil, rootError(&os.PathError{Op: "open", Path: full, Err: err}, path)
	}
	return os.NewFile(uintptr(dirfd), full), nil
}

// Close releases the root.
func (r *Root) Close() error { return r.dir.Close() }

// Dir is the absolute path of the directory that the sandboxes' directories lie in.
func (r *Root) Dir() string { return r.dir.Name() }

func (r *Root) fd() int { return int(r.dir.Fd()) }

// tempName is a name that says which process works on the directory.
func tempName(prefix, key string) (string, error) {
	start, err := process.StartTime(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%d-%d-%s", prefix, os.Getpid(), start, key), nil
}

// tempOwnerAlive reports whether the process that a temporary name speaks of
// still lives. A name that cannot be parsed is nobody's.
func tempOwnerAlive(entry string) bool {
	var p process.ID
	rest := strings.TrimPrefix(strings.TrimPrefix(entry, newPrefix), delPrefix)
	if _, err := fmt.Sscanf(rest, "%d-%d-", &p.Pid, &p.Start); err != nil {
		return false
	}
	return p.Alive()
}

func ownedDir(path string, uid int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return false, err
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == uid, nil
}

// userDefault is /run/user/UID/microsandbox where a session manager made the
// parent, else a directory in /tmp whose owner is checked at every use.
func userDefault() (string, error) {
	uid := os.Geteuid()
	run := "/run/user/" + strconv.Itoa(uid)
	if own, err := ownedDir(run, uid); err == nil && own {
		return filepath.Join(run, "microsandbox"), nil
	}
	return "/tmp/microsandbox-" + strconv.Itoa(uid), nil
}
