package gvisor

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// cloneLater describes a mount for the gofer to clone. The kernel's own path of
// the open file is used, so that it does not matter what became of the given one.
func cloneLater(f *os.File, spec mounts.Spec, attr uint64, dir bool) (wire.Mount, error) {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return wire.Mount{}, fault.Wrap(err, fault.IO, fault.StageRoot, spec.String())
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return wire.Mount{}, fault.Wrap(err, fault.IO, fault.StageRoot, spec.String())
	}
	m := wire.Mount{Donated: -1, Path: []byte(path), Dev: st.Dev, Ino: st.Ino, Attr: attr, Dir: dir}
	again, err := m.Open()
	if err != nil {
		return m, fault.New(fault.NotFound, fault.StageRoot,
			"%s: source %q was removed, replaced or covered while the sandbox started (%v)", spec, path, err)
	}
	again.Close()
	return m, nil
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
	plan := wire.Plan{Binds: r.binds}
	if r.annotations == nil {
		r.annotations = map[string]string{}
	}
	if r.dir != nil {
		root, err := r.planRoot()
		if err != nil {
			return err
		}
		plan.Root = &root
		r.path = wire.RootTarget
		delete(r.annotations, wire.RootAnnotation)
	}
	data, err := json.Marshal(plan)
	if err != nil {
		return fault.Wrap(err, fault.Internal, fault.StageRoot, "mounts")
	}
	r.annotations[wire.MountsAnnotation] = string(data)
	return nil
}

func (r *rootFS) planRoot() (wire.Mount, error) {
	if number := r.annotations[wire.RootAnnotation]; number != "" {
		m := wire.Mount{Dir: true}
		_, err := fmt.Sscan(number, &m.Donated)
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
		if m.Type != "bind" || wire.IsBindSource(m.Source) {
			continue
		}
		fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fault.Wrap(err, fault.IO, fault.StageRoot, "host root: open "+m.Source)
		}
		dir := os.NewFile(uintptr(fd), m.Source)
		r.files = append(r.files, dir)
		b := wire.Mount{Dir: true}
		tree, _, err := detach(dir, attr, nil)
		switch {
		case err == nil:
			b.Donated = r.donate(tree)
		case ids.uid == uint64(os.Geteuid()):
			b, err = cloneLater(dir, mounts.Spec{Source: m.Source}, attr, true)
		}
		if err != nil {
			return fault.Wrap(err, fault.Setup, fault.StageRoot, "host root: bind "+m.Source)
		}
		m.Source = wire.BindSource(len(r.binds))
		r.binds = append(r.binds, b)
	}
	return nil
}
