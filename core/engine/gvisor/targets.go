package gvisor

import (
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// targetResolver finds out where the mounts of one sandbox lead to. Links of a
// root that is a directory are followed within it. In an image, and in what a host
// root binds, it is the sentry that follows them, within the guest's root as well.
type targetResolver struct {
	root *os.File          // nil: an image
	own  []ociMount        // the engine's
	made map[string]string // resolved target: the given one
}

// resolve returns the place of a mount, which must fit its source.
func (t *targetResolver) resolve(s *mounts.Source) (string, error) {
	if err := carriable(s.Spec); err != nil {
		return "", err
	}
	target := s.Spec.Target
	if t.root != nil {
		var err error
		if target, err = t.follow(s); err != nil {
			return "", err
		}
	}
	if target != s.Spec.Target {
		moved := s.Spec
		moved.Target = target
		if _, err := mounts.Validate([]mounts.Spec{moved}); err != nil {
			return "", t.refuse(s, "the root leads it to %q, which belongs to the sandbox or is the root", target)
		}
	}
	if other, ok := t.made[target]; ok {
		return "", t.refuse(s, "it leads to the same place as %q: leave one out", other)
	}
	t.made[target] = s.Spec.Target
	for _, m := range t.own {
		// Our /tmp gives way; in the others there is room, but not in their place.
		if m.Type == "bind" && (target == m.Destination || strings.HasPrefix(m.Destination, target+"/")) {
			return "", t.refuse(s, "the host root shows %s of the host there: use a target below it, or another root", m.Destination)
		}
	}
	return target, nil
}

func (t *targetResolver) refuse(s *mounts.Source, format string, args ...any) error {
	return fault.New(fault.Invalid, fault.StageRoot, "%s: the target: %s", s.Spec, fmt.Sprintf(format, args...))
}

// follow resolves a target within the root as far as it exists. The rest of it
// is made in memory.
func (t *targetResolver) follow(s *mounts.Source) (string, error) {
	rest := ""
	for at := s.Spec.Target; ; at = path.Dir(at) {
		fd, err := t.open(at, 0)
		switch err {
		case nil:
			where, isDir, err := t.describe(fd)
			unix.Close(fd)
			if err != nil {
				return "", fault.Wrap(err, fault.IO, fault.StageRoot, s.Spec.String())
			}
			if rest == "" && isDir != wantsDir(s) {
				return "", t.refuse(s, "%s", mismatch(isDir))
			}
			if rest != "" && !isDir {
				return "", t.refuse(s, "%q is a file in the root", at)
			}
			return path.Join(where, rest), nil
		case unix.ENOENT:
			if fd, err := t.open(at, unix.O_NOFOLLOW); err == nil {
				unix.Close(fd)
				return "", t.refuse(s, "%q is a link in the root that leads nowhere", at)
			}
		case unix.ENOTDIR:
		default:
			return "", fault.Wrap(err, fault.IO, fault.StageRoot, fmt.Sprintf("%s: the target: %q in the root", s.Spec, at))
		}
		rest = path.Join(path.Base(at), rest)
	}
}

func (t *targetResolver) open(name string, flags uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC | flags,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(int(t.root.Fd()), name, &how)
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

// describe returns the place of an open file within the root, and whether it is
// a directory.
func (t *targetResolver) describe(fd int) (string, bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", false, os.NewSyscallError("fstat", err)
	}
	root, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", t.root.Fd()))
	if err != nil {
		return "", false, err
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return "", false, err
	}
	inside, ok := strings.CutPrefix(name, strings.TrimSuffix(root, "/"))
	if !ok {
		return "", false, fmt.Errorf("the root %q was moved meanwhile", root)
	}
	return path.Join("/", inside), st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// wantsDir tells whether a mount is made on a directory.
func wantsDir(s *mounts.Source) bool { return s.Spec.Kind != mounts.Bind || s.Dir }

func mismatch(isDir bool) string {
	if isDir {
		return "it is a directory in the root, the source is a file"
	}
	return "it is a file in the root, the mount is a directory"
}
