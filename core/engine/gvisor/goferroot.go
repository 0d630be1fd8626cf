package gvisor

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/container"
)

const (
	// rootTarget is where the gofer attaches a detached root, in its own mount
	// namespace. The sentry needs the same directory to build its chroot.
	rootTarget = "/tmp"
	// rootFDAnnotation names the supervisor's descriptor of the detached root.
	rootFDAnnotation = "microsandbox.root-fd"
	// usernsName is argv[0] of the process that newUserns kills at once.
	usernsName = "runsc-userns"
)

// mountRoot runs in the gofer before gVisor's code: it fetches the detached
// root from the supervisor, over the connection that the gofer has for such
// requests, and attaches it. Without an annotation there is nothing to do.
func mountRoot() {
	if err := tryMountRoot(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err) // the gofer's standard error is /dev/null or a log
		os.Exit(128)
	}
}

func tryMountRoot(args []string) error {
	if option(args, "--setup-root") != "" {
		return nil // re-executed: the root is in place
	}
	annotations, err := specAnnotations(args)
	if err != nil {
		return fmt.Errorf("gofer: read the specification: %w", err)
	}
	number := annotations[rootFDAnnotation]
	if number == "" {
		return nil
	}
	rpcFD, err := strconv.Atoi(option(args, "--rpc-fd"))
	if err != nil {
		return fmt.Errorf("gofer: option --rpc-fd: %w", err)
	}
	tree, err := fetch(rpcFD, "/proc/self/fd/"+number)
	if err != nil {
		return fmt.Errorf("gofer: fetch the root: %w", err)
	}
	defer tree.Close()
	err = unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, rootTarget, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("gofer: attach the root: %w", err)
	}
	return nil
}

// fetch asks the supervisor to open a path on behalf of the gofer.
func fetch(rpcFD int, path string) (*os.File, error) {
	dup, err := unix.FcntlInt(uintptr(rpcFD), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(dup), "rpc")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	request := container.OpenMountArgs{Mount: &specs.Mount{Source: path}}
	files, err := exchange(c.(*net.UnixConn), "goferToHostRPC.OpenMount", &request, &struct{}{}, nil)
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		closeAll(files)
		return nil, fmt.Errorf("%d descriptors instead of one", len(files))
	}
	return files[0], nil
}

// newUserns returns a user namespace with the given mapping. The process that
// it is made with is killed before it runs anything.
func newUserns(ids idMap) (*os.File, error) {
	one := func(host uint64) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(host), Size: int(ids.size)}}
	}
	p, err := os.StartProcess("/proc/self/exe", []string{usernsName}, &os.ProcAttr{
		Env: []string{},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: one(ids.uid),
			GidMappings: one(ids.gid),
			Pdeathsig:   unix.SIGKILL,
		},
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		p.Kill()
		p.Wait()
	}()
	return os.Open(fmt.Sprintf("/proc/%d/ns/user", p.Pid))
}
