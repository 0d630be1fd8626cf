package gvisor

import (
	"fmt"
	"os"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// rootFS is a machine's root as gVisor takes it.
type rootFS struct {
	path        string
	mounts      []ociMount
	annotations map[string]string
	cwd         string // default working directory of programs
	notes       []string
	dir         *os.File // the root's directory; nil for an image
	binds       []wire.Mount
	userns      *os.File   // see mapping
	files       []*os.File // kept open until the machine has booted
	donated     []*os.File // of those, detached mounts that the gofer is started with
}

// donate keeps a mount for the gofer, and returns its number there.
func (r *rootFS) donate(tree *os.File) int {
	r.files = append(r.files, tree)
	r.donated = append(r.donated, tree)
	return len(r.donated) - 1
}

func (r *rootFS) close() { closeAll(r.files) }

// prepareRoot makes the root and what is mounted in it.
func prepareRoot(cfg engine.Config, p paths, ids idMap) (*rootFS, error) {
	r, err := openRoot(cfg, p, ids)
	if err != nil {
		return nil, err
	}
	if err := r.addMounts(cfg, ids); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// openRoot opens and checks the root, once: later steps use the opened file and
// look no path up again where the kernel allows it.
func openRoot(cfg engine.Config, p paths, ids idMap) (*rootFS, error) {
	if cfg.Root.Kind == image.Host {
		return hostRoot(p, ids, cfg.OverlayBytes)
	}
	source, err := rootFile(cfg)
	if err != nil {
		return nil, err
	}
	r := &rootFS{cwd: "/", files: []*os.File{source}, annotations: map[string]string{}}
	if image.EmptyTmp(cfg.Root.Kind, source) {
		r.mounts = append(r.mounts, tmpMount(cfg.OverlayBytes))
	}
	if cfg.Root.Kind == image.EROFS {
		r.path = wire.RootTarget // not looked at
		r.annotations["dev.gvisor.spec.rootfs.type"] = "erofs"
		r.annotations["dev.gvisor.spec.rootfs.source"] = fmt.Sprintf("/proc/self/fd/%d", source.Fd())
		r.annotations["dev.gvisor.spec.rootfs.overlay"] = "memory"
		r.annotations["dev.gvisor.spec.rootfs.options"] = fmt.Sprintf("size=%d", cfg.OverlayBytes)
		r.notes = append(r.notes, "root: EROFS image, changes in memory")
		return r, nil
	}
	r.dir = source
	if err := r.attach(source, cfg.Root.Path, ids, true); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// rootFile is the open root: a duplicate of the caller's where it has one.
func rootFile(cfg engine.Config) (*os.File, error) {
	if cfg.RootFile == nil {
		return image.Open(cfg.Root)
	}
	fd, err := unix.FcntlInt(cfg.RootFile.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageRoot, "root")
	}
	return os.NewFile(uintptr(fd), cfg.RootFile.Name()), nil
}

// mapping is a user namespace that maps owners into the sandbox's; nil when none
// can be made. It is made once.
func (r *rootFS) mapping(ids idMap) *os.File {
	if r.userns == nil {
		userns, err := newUserns(ids)
		if err != nil {
			return nil
		}
		r.userns = userns
		r.files = append(r.files, userns)
	}
	return r.userns
}

// attach makes dir the root. With privileges it becomes a detached mount,
// read-only and with its owners mapped into the sandbox's user namespace, that
// the gofer moves into place: the gofer's ids could not even reach a directory
// below a private one. Where the kernel refuses that, the gofer must have the
// caller's own id, and takes the path.
func (r *rootFS) attach(dir *os.File, path string, ids idMap, mapOwners bool) error {
	const attr = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	var userns *os.File
	if mapOwners {
		userns = r.mapping(ids)
	}
	tree, mapped, err := detach(dir, attr, userns)
	if err != nil && ids.uid == uint64(os.Geteuid()) {
		if !utf8.ValidString(path) {
			return fault.New(fault.Unsupported, fault.StageRoot,
				"root %q: the engine cannot carry a path that is not UTF-8 without CAP_SYS_ADMIN; use a link to it", path)
		}
		r.path = path
		r.notes = append(r.notes, "root: directory with the caller's access rights, changes in memory")
		return nil
	}
	if err != nil {
		return fault.New(fault.Setup, fault.StageRoot,
			"root %q: %v; root needs CAP_SYS_ADMIN here, an unprivileged user does not", path, err)
	}
	r.path = wire.RootTarget
	if r.annotations == nil {
		r.annotations = map[string]string{}
	}
	r.annotations[wire.RootAnnotation] = fmt.Sprint(r.donate(tree))
	switch {
	case mapped:
		r.notes = append(r.notes, "root: directory, read-only mount with mapped owners, changes in memory")
	case mapOwners:
		r.notes = append(r.notes, "root: directory, read-only mount with access rights of others, changes in memory")
	}
	return nil
}
