package gvisor

import (
	"fmt"
	"os"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// rootFS is a machine's root as gVisor takes it.
type rootFS struct {
	path        string
	mounts      []specs.Mount
	annotations map[string]string
	cwd         string // default working directory of programs
	notes       []string
	files       []*os.File // kept open until the machine has booted
}

func (r *rootFS) close() { closeAll(r.files) }

// prepareRoot opens and checks the root, once: later steps use the opened
// file and look no path up again where the kernel allows it.
func prepareRoot(cfg engine.Config, p paths, ids idMap) (*rootFS, error) {
	if cfg.Root.Kind == image.Host {
		return hostRoot(p, ids, cfg.OverlayBytes)
	}
	source, err := image.Open(cfg.Root)
	if err != nil {
		return nil, err
	}
	r := &rootFS{cwd: "/", files: []*os.File{source}, annotations: map[string]string{}}
	if image.EmptyTmp(cfg.Root.Kind, source) {
		r.mounts = append(r.mounts, tmpMount(cfg.OverlayBytes))
	}
	if cfg.Root.Kind == image.EROFS {
		r.path = p.empty
		r.annotations["dev.gvisor.spec.rootfs.type"] = "erofs"
		r.annotations["dev.gvisor.spec.rootfs.source"] = fmt.Sprintf("/proc/self/fd/%d", source.Fd())
		r.annotations["dev.gvisor.spec.rootfs.overlay"] = "memory"
		r.annotations["dev.gvisor.spec.rootfs.options"] = fmt.Sprintf("size=%d", cfg.OverlayBytes)
		r.notes = append(r.notes, "root: EROFS image, changes in memory")
		return r, nil
	}
	if err := r.attach(source, cfg.Root.Path, ids, true); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// attach makes dir the root. With privileges it becomes a detached mount,
// read-only and with its owners mapped into the sandbox's user namespace, that
// the gofer moves into place: the gofer's ids could not even reach a directory
// below a private one. Where the kernel refuses that, the gofer must have the
// caller's own id, and takes the path.
func (r *rootFS) attach(dir *os.File, path string, ids idMap, mapOwners bool) error {
	tree, mapped, err := detach(dir, ids, mapOwners)
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
	r.files = append(r.files, tree)
	r.path = rootTarget
	if r.annotations == nil {
		r.annotations = map[string]string{}
	}
	r.annotations[rootFDAnnotation] = fmt.Sprint(tree.Fd())
	switch {
	case mapped:
		r.notes = append(r.notes, "root: directory, read-only mount with mapped owners, changes in memory")
	case mapOwners:
		r.notes = append(r.notes, "root: directory, read-only mount with access rights of others, changes in memory")
	}
	return nil
}

// detach returns a read-only clone of the mounts at and below dir that is
// attached nowhere, and whether its owners are mapped: not every file system
// can do that, nor a kernel before 5.12.
func detach(dir *os.File, ids idMap, mapOwners bool) (*os.File, bool, error) {
	fd, err := unix.OpenTree(int(dir.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return nil, false, os.NewSyscallError("open_tree", err)
	}
	tree := os.NewFile(uintptr(fd), "root")
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if mapOwners {
		if userns, err := newUserns(ids); err == nil {
			defer userns.Close()
			withMap := attr
			withMap.Attr_set |= unix.MOUNT_ATTR_IDMAP
			withMap.Userns_fd = uint64(userns.Fd())
			if unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &withMap) == nil {
				return tree, true, nil
			}
		}
	}
	// The overlay and the gofer keep the directory unchanged on kernels that
	// have no mount_setattr (before 5.12).
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr)
	if err != nil && err != unix.ENOSYS {
		tree.Close()
		return nil, false, os.NewSyscallError("mount_setattr", err)
	}
	return tree, false, nil
}
