package gvisor

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// goferMount tells the gofer of a directory or file that it is to serve.
type goferMount struct {
	// FD is the supervisor's descriptor of a detached mount. It is -1 where the
	// kernel allows only the gofer to clone a mount: then it opens Path, which
	// must lead to the file with this Dev and Ino, and sets Attr, MOUNT_ATTR_*.
	FD   int    `json:"fd"`
	Path []byte `json:"path,omitempty"`
	Dev  uint64 `json:"dev,omitempty"`
	Ino  uint64 `json:"ino,omitempty"`
	Attr uint64 `json:"attr,omitempty"`
	Dir  bool   `json:"dir"`
}

// goferPlan is everything that a gofer serves besides the host root's own binds.
type goferPlan struct {
	Root  *goferMount  `json:"root,omitempty"` // nil: the root is an image
	Binds []goferMount `json:"binds"`
}

// mountsAnnotation holds a goferPlan as JSON.
const mountsAnnotation = "microsandbox.mounts"

// cloneLater describes a mount for the gofer to clone. The kernel's own path of
// the open file is used, so that it does not matter what became of the given one.
func cloneLater(f *os.File, spec mounts.Spec, attr uint64, dir bool) (goferMount, error) {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return goferMount{}, fault.Wrap(err, fault.IO, fault.StageRoot, spec.String())
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return goferMount{}, fault.Wrap(err, fault.IO, fault.StageRoot, spec.String())
	}
	m := goferMount{FD: -1, Path: []byte(path), Dev: st.Dev, Ino: st.Ino, Attr: attr, Dir: dir}
	again, err := m.open()
	if err != nil {
		return m, fault.New(fault.NotFound, fault.StageRoot,
			"%s: source %q was removed, replaced or covered while the sandbox started (%v)", spec, path, err)
	}
	again.Close()
	return m, nil
}

// open opens the path, and checks that it leads to what was meant.
func (m goferMount) open() (*os.File, error) {
	fd, err := unix.Open(string(m.Path), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: string(m.Path), Err: err}
	}
	f := os.NewFile(uintptr(fd), string(m.Path))
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, os.NewSyscallError("fstat", err)
	}
	if st.Dev != m.Dev || st.Ino != m.Ino {
		f.Close()
		return nil, fmt.Errorf("%q is another file now", m.Path)
	}
	return f, nil
}

// plan hands the gofer what it is to serve, the root too. Without binds there is
// nothing to plan: gVisor's own way is shorter.
func (r *rootFS) plan(ids idMap) error {
	if len(r.binds) == 0 {
		return nil
	}
	if err := r.planHost(ids); err != nil {
		return err
	}
	plan := goferPlan{Binds: r.binds}
	if r.annotations == nil {
		r.annotations = map[string]string{}
	}
	if r.dir != nil {
		root, err := r.planRoot()
		if err != nil {
			return err
		}
		plan.Root = &root
		r.path = rootTarget
		delete(r.annotations, rootFDAnnotation)
	}
	data, err := json.Marshal(plan)
	if err != nil {
		return fault.Wrap(err, fault.Internal, fault.StageRoot, "mounts")
	}
	r.annotations[mountsAnnotation] = string(data)
	return nil
}

func (r *rootFS) planRoot() (goferMount, error) {
	if number := r.annotations[rootFDAnnotation]; number != "" {
		m := goferMount{Dir: true}
		_, err := fmt.Sscan(number, &m.FD)
		return m, err
	}
	attr := uint64(unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	return cloneLater(r.dir, mounts.Spec{Source: r.dir.Name()}, attr, true)
}

// planHost plans what the host root shows of the host.
func (r *rootFS) planHost(ids idMap) error {
	const attr = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	for i := range r.mounts {
		m := &r.mounts[i]
		if m.Type != "bind" || isGoferSource(m.Source) {
			continue
		}
		fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fault.Wrap(err, fault.IO, fault.StageRoot, "host root: open "+m.Source)
		}
		dir := os.NewFile(uintptr(fd), m.Source)
		r.files = append(r.files, dir)
		b := goferMount{Dir: true}
		tree, _, err := detach(dir, attr, nil)
		switch {
		case err == nil:
			r.files = append(r.files, tree)
			b.FD = int(tree.Fd())
		case ids.uid == uint64(os.Geteuid()):
			b, err = cloneLater(dir, mounts.Spec{Source: m.Source}, attr, true)
		}
		if err != nil {
			return fault.Wrap(err, fault.Setup, fault.StageRoot, "host root: bind "+m.Source)
		}
		m.Source = goferSource(len(r.binds))
		r.binds = append(r.binds, b)
	}
	return nil
}
