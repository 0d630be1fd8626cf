package gvisor

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// addMounts adds the caller's mounts to the root.
func (r *rootFS) addMounts(cfg engine.Config, ids idMap) error {
	if len(cfg.Mounts) == 0 {
		return nil
	}
	targets := targetResolver{root: r.dir, own: r.mounts, made: map[string]string{}}
	writable := 0
	for _, s := range cfg.Mounts {
		target, err := targets.resolve(s)
		if err != nil {
			return err
		}
		m, err := r.mount(s, target, ids)
		if err != nil {
			return err
		}
		if target == "/tmp" { // ours gives way
			r.mounts = slices.DeleteFunc(r.mounts, func(m ociMount) bool { return m.Destination == "/tmp" })
		}
		r.mounts = append(r.mounts, m)
		if !s.Spec.ReadOnly {
			writable++
		}
	}
	r.notes = append(r.notes, fmt.Sprintf("mounts: %d, %d of them writable", len(cfg.Mounts), writable))
	return r.plan(ids)
}

// mount is one mount as gVisor takes it.
func (r *rootFS) mount(s *mounts.Source, target string, ids idMap) (ociMount, error) {
	m := ociMount{Destination: target, Options: mountOptions(s.Spec)}
	switch s.Spec.Kind {
	case mounts.Tmpfs:
		mode := "mode=755"
		if target == "/tmp" {
			mode = "mode=1777"
		}
		m.Type, m.Options = "tmpfs", append(m.Options, mode, fmt.Sprintf("size=%d", s.Spec.SizeBytes))
	case mounts.EROFS:
		m.Type, m.Source = "erofs", fmt.Sprintf("/proc/self/fd/%d", s.File().Fd())
		return m, checkImage(s)
	case mounts.Bind:
		b, err := r.bind(s, ids)
		if err != nil {
			return m, err
		}
		m.Type, m.Source = "bind", wire.BindSource(len(r.binds))
		r.binds = append(r.binds, b)
	case mounts.Disk:
		return m, fault.New(fault.Unsupported, fault.StageRoot,
			"%s: engine gvisor has no ext4: mount an EROFS image or a directory, or use engine qemu", s.Spec)
	}
	return m, nil
}

func mountOptions(s mounts.Spec) []string {
	var options []string
	for _, o := range []struct {
		set  bool
		name string
	}{{s.Kind == mounts.Bind, "rbind"}, {s.ReadOnly, "ro"}, {s.NoExec, "noexec"}, {s.NoSUID, "nosuid"}, {s.NoDev, "nodev"}} {
		if o.set {
			options = append(options, o.name)
		}
	}
	return options
}

// checkImage checks what the engine's reader needs of an image.
func checkImage(s *mounts.Source) error {
	err := image.CheckEROFS(s.File(), s.Spec.Source)
	if err == nil {
		return nil
	}
	e := *fault.From(err)
	e.Message = fmt.Sprintf("%s: image %s", s.Spec, strings.TrimPrefix(e.Message, "root "))
	return &e
}

// bind prepares a directory or file of the host. With privileges it becomes a
// detached mount whose owners are mapped: guest root is the owner with uid 0 there,
// and nowhere else. Where the kernel refuses that, the gofer must have the
// caller's own id, and clones the mount itself.
func (r *rootFS) bind(s *mounts.Source, ids idMap) (wire.Mount, error) {
	attr := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	if s.Spec.ReadOnly {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	if err := exists(s); err != nil {
		return wire.Mount{}, err
	}
	own := ids.uid == uint64(os.Geteuid())
	tree, mapped, err := detach(s.File(), attr, r.mapping(ids))
	if err != nil && own {
		return cloneLater(s.File(), s.Spec, attr, s.Dir)
	}
	if err != nil {
		return wire.Mount{}, fault.New(fault.Setup, fault.StageRoot,
			"%s: source %q: %v; root needs CAP_SYS_ADMIN here, an unprivileged user does not", s.Spec, s.Spec.Source, err)
	}
	donated := r.donate(tree)
	if !mapped && !own && !s.Spec.ReadOnly {
		return wire.Mount{}, fault.New(fault.Unsupported, fault.StageRoot,
			"%s: source %q lies on a file system, or has one below it, that cannot map owners (or Linux is older than 5.12), so root's guest could not write there: mount it read-only, or as an unprivileged user",
			s.Spec, s.Spec.Source)
	}
	if !mapped && !own {
		r.notes = append(r.notes, fmt.Sprintf("mount %s: access rights of others", s.Spec.Target))
	}
	return wire.Mount{Donated: donated, Dir: s.Dir}, nil
}

// exists refuses what the kernel does not mount: a file that has been removed.
func exists(s *mounts.Source) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(s.File().Fd()), &st); err != nil {
		return fault.Wrap(err, fault.IO, fault.StageRoot, s.Spec.String())
	}
	if st.Nlink == 0 {
		return fault.New(fault.NotFound, fault.StageRoot, "%s: source %q was removed while the sandbox started", s.Spec, s.Spec.Source)
	}
	return nil
}

// carriable refuses what gVisor's JSON cannot carry.
func carriable(s mounts.Spec) error {
	if utf8.ValidString(s.Target) {
		return nil
	}
	return fault.New(fault.Unsupported, fault.StageRoot, "%s: the engine cannot carry a target that is not UTF-8", s)
}
