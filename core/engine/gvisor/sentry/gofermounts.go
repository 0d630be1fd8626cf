package sentry

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/lisafs"
	"gvisor.dev/gvisor/pkg/seccomp"
	"gvisor.dev/gvisor/runsc/fsgofer"
	"gvisor.dev/gvisor/runsc/fsgofer/extension"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
)

// gVisor's gofer attaches each mount at its target below the root, and makes the
// target where it is missing: it would write to the root that it was given, and,
// for a target in another mount, to that mount's source. So with binds the gofer's
// own root is an empty file system in memory. What it serves is attached in
// directories of that, which the guest never sees; at the targets there is nothing
// but empty files and directories, and each connection is served from where the
// real mount is. Targets that are missing are made by the sentry, in memory.
const (
	goferRootDir   = ".root"   // the guest's root
	goferBindDir   = ".bind"   // the binds, by number
	goferChroot    = "/root"   // gVisor's name for the gofer's root once it has pivoted
	goferRootBytes = "size=1m" // of names only
)

// server is the gofer's view of a plan.
type server struct {
	plan   wire.Plan
	trees  []*os.File // of the binds; set in the gofer's first stage only
	config fsgofer.Config
}

// serveMounts runs in the gofer before gVisor's code. It returns false when
// there are no binds.
func serveMounts() bool {
	s, err := newServer(os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gofer: mounts:", err) // the gofer's standard error is /dev/null or a log
		os.Exit(128)
	}
	if s == nil {
		return false
	}
	extension.Register(s)
	return true
}

func newServer(args []string) (*server, error) {
	annotations, err := specAnnotations(args)
	if err != nil {
		return nil, fmt.Errorf("read the specification: %w", err)
	}
	text := annotations[wire.MountsAnnotation]
	if text == "" {
		return nil, nil
	}
	if implField == 0 {
		return nil, errors.New("another gVisor than the one that this was written for")
	}
	// The system call filter will not let us ask for ids.
	s := &server{config: fsgofer.Config{
		DonateMountPointFD: true,
		RUID:               os.Getuid(), EUID: os.Geteuid(), RGID: os.Getgid(), EGID: os.Getegid(),
	}}
	if err := json.Unmarshal([]byte(text), &s.plan); err != nil {
		return nil, err
	}
	return s, s.prepare()
}

// prepare takes hold of everything that is to be served, while the host's paths
// can still be seen, and makes the gofer's root.
func (s *server) prepare() error {
	for _, b := range s.plan.Binds {
		tree, err := treeOf(b)
		if err != nil {
			return err
		}
		s.trees = append(s.trees, tree)
	}
	var root *os.File
	if s.plan.Root != nil {
		var err error
		if root, err = treeOf(*s.plan.Root); err != nil {
			return err
		}
		defer root.Close()
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("gofer", wire.RootTarget, "tmpfs", flags, "mode=700,"+goferRootBytes); err != nil {
		return os.NewSyscallError("mount", err)
	}
	if err := s.makePlaces(wire.RootTarget, wire.EmptyDir); err != nil {
		return err
	}
	if root == nil {
		return nil
	}
	if err := s.makePlaces(wire.RootTarget, goferBindDir); err != nil {
		return err
	}
	at := filepath.Join(wire.RootTarget, goferRootDir)
	if err := os.Mkdir(at, 0o700); err != nil {
		return err
	}
	return attach(root, at)
}

// makePlaces makes an empty file or directory for each bind.
func (s *server) makePlaces(root, dir string) error {
	dir = filepath.Join(root, dir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for i, b := range s.plan.Binds {
		name := filepath.Join(dir, strconv.Itoa(i))
		if b.Dir {
			if err := os.Mkdir(name, 0o700); err != nil {
				return err
			}
			continue
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func attach(tree *os.File, at string) error {
	err := unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
	return os.NewSyscallError("move_mount", err)
}

// tree is the mount, detached: one that the supervisor has donated, or a clone of
// what the path leads to.
func treeOf(m wire.Mount) (*os.File, error) {
	if m.Donated >= 0 {
		return donated(m.Donated), nil
	}
	f, err := m.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tree, err := wire.Clone(f)
	if err != nil {
		return nil, err
	}
	return tree, wire.SetAttributes(tree, m.Attr)
}

// Name implements extension.Extension.
func (s *server) Name() string { return "mounts" }

// SeccompRules implements extension.Extension: nothing besides gVisor's own.
func (s *server) SeccompRules() seccomp.SyscallRules { return seccomp.NewSyscallRules() }

// PrepareGofer attaches the binds, once the gofer has its root and before it
// gives up the right to.
func (s *server) PrepareGofer(extension.GoferPrepareContext) (extension.GoferPrepareResult, error) {
	var result extension.GoferPrepareResult
	if len(s.trees) == 0 {
		return result, nil
	}
	if s.plan.Root == nil {
		if err := s.makePlaces(goferChroot, goferBindDir); err != nil {
			return result, err
		}
	}
	for i, tree := range s.trees {
		if err := attach(tree, filepath.Join(goferChroot, goferBindDir, strconv.Itoa(i))); err != nil {
			return result, err
		}
		tree.Close()
	}
	s.trees = nil
	return result, nil
}

// TryHandleMount serves the root and the binds from where they are attached.
func (s *server) TryHandleMount(_ *specs.Spec, mount *specs.Mount, _ string, readonly bool) (lisafs.ConnectionImpl, lisafs.ConnectionOpts, error) {
	var place []string
	switch {
	case mount == nil:
		place = []string{goferRootDir}
	case wire.IsBindSource(mount.Source):
		place = []string{goferBindDir, filepath.Base(mount.Source)}
	default:
		return nil, lisafs.ConnectionOpts{}, nil
	}
	return placed{fsgofer.NewConnectionImpl(&s.config), place}, fsgofer.ConnectionOpts(readonly), nil
}

// placed is a connection that is served from somewhere else than its target.
type placed struct {
	lisafs.ConnectionImpl
	place []string // components of the path in the gofer's root
}

// Mount implements lisafs.ConnectionImpl. The connection gets a tree of nodes of
// its own, whose paths are those in the gofer's root.
func (p placed) Mount(c *lisafs.Connection, _ *lisafs.Node) (*lisafs.ControlFD, lisafs.Statx, int, error) {
	node := &lisafs.Node{}
	node.InitLocked("", nil)
	for _, name := range p.place {
		child := &lisafs.Node{}
		node.WithChildrenMu(func() { child.InitLocked(name, node) })
		node = child
	}
	serve(c, p.ConnectionImpl)
	return p.ConnectionImpl.Mount(c, node)
}

// implField is lisafs.Connection's field for its implementation.
var implField = func() uintptr {
	field, ok := reflect.TypeFor[lisafs.Connection]().FieldByName("impl")
	if !ok || field.Type != reflect.TypeFor[lisafs.ConnectionImpl]() {
		return 0
	}
	return field.Offset
}()

// serve leaves a connection to gVisor's implementation, which expects to find
// itself there. Mount is the first message, and no other is served meanwhile.
func serve(c *lisafs.Connection, impl lisafs.ConnectionImpl) {
	*(*lisafs.ConnectionImpl)(unsafe.Add(unsafe.Pointer(c), implField)) = impl
}
