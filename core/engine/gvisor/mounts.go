package gvisor

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
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

// addMounts adds the caller's mounts to the root.
func (r *rootFS) addMounts(cfg engine.Config, ids idMap) error {
	if len(cfg.Mounts) == 0 {
		return nil
	}
	targets := targetResolver{root: r.dir, own: r.mounts, made: map[string]string{}}
	writable := 0
	var added []specs.Mount
	for _, s := range cfg.Mounts {
		target, err := targets.resolve(s)
		if err != nil {
			return err
		}
		m := specs.Mount{Destination: target, Options: mountOptions(s.Spec)}
		switch s.Spec.Kind {
		case mounts.Tmpfs:
			mode := "mode=755"
			if target == "/tmp" {
				mode = "mode=1777"
			}
			m.Type, m.Options = "tmpfs", append(m.Options, mode, fmt.Sprintf("size=%d", s.Spec.SizeBytes))
		case mounts.EROFS:
			m.Type, m.Source = "erofs", fmt.Sprintf("/proc/self/fd/%d", s.File().Fd())
			if err := checkImage(s); err != nil {
				return err
			}
		case mounts.Bind:
			m.Type, m.Source = "bind", goferSource(len(r.binds))
			b, err := r.bind(s, ids)
			if err != nil {
				return err
			}
			r.binds = append(r.binds, b)
		}
		if !s.Spec.ReadOnly {
			writable++
		}
		added = append(added, m)
		if target == "/tmp" {
			r.mounts = slices.DeleteFunc(r.mounts, func(m specs.Mount) bool { return m.Destination == "/tmp" })
		}
	}
	r.mounts = append(r.mounts, added...)
	r.notes = append(r.notes, fmt.Sprintf("mounts: %d, %d of them writable", len(added), writable))
	return r.plan(ids)
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
func (r *rootFS) bind(s *mounts.Source, ids idMap) (goferMount, error) {
	attr := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	if s.Spec.ReadOnly {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	if err := exists(s); err != nil {
		return goferMount{}, err
	}
	own := ids.uid == uint64(os.Geteuid())
	tree, mapped, err := detach(s.File(), attr, r.mapping(ids))
	if err != nil && own {
		return cloneLater(s.File(), s.Spec, attr, s.Dir)
	}
	if err != nil {
		return goferMount{}, fault.New(fault.Setup, fault.StageRoot,
			"%s: source %q: %v; root needs CAP_SYS_ADMIN here, an unprivileged user does not", s.Spec, s.Spec.Source, err)
	}
	r.files = append(r.files, tree)
	if !mapped && !own && !s.Spec.ReadOnly {
		return goferMount{}, fault.New(fault.Unsupported, fault.StageRoot,
			"%s: source %q lies on a file system, or has one below it, that cannot map owners (or Linux is older than 5.12), so root's guest could not write there: mount it read-only, or as an unprivileged user",
			s.Spec, s.Spec.Source)
	}
	if !mapped && !own {
		r.notes = append(r.notes, fmt.Sprintf("mount %s: access rights of others", s.Spec.Target))
	}
	return goferMount{FD: int(tree.Fd()), Dir: s.Dir}, nil
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

// carriable refuses what gVisor's JSON cannot carry.
func carriable(s mounts.Spec) error {
	if utf8.ValidString(s.Target) {
		return nil
	}
	return fault.New(fault.Unsupported, fault.StageRoot, "%s: the engine cannot carry a target that is not UTF-8", s)
}
