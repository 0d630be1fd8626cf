package gvisor

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
)

// goferEnds are the sentry's and the supervisor's ends of a gofer's connections.
type goferEnds struct {
	mounts   *os.File // the sentry's, for the mounts with their targets resolved
	exit     *os.File // ours: tells the gofer which process is the sentry
	requests *os.File // ours: see serveSources
}

// goferCommand makes the connections of a gofer and its command line. The sentry's
// ends of those that serve files are added to sentry.
func goferCommand(id string, options []string, logs engineLogs, spec, ring *os.File, confs []string,
	sentry *command) (*command, *goferEnds, error) {
	c := &command{}
	c.add(options...)
	if err := logs.addTo(c, "gofer"); err != nil {
		return c, &goferEnds{}, err
	}
	c.add("gofer", "--bundle="+noBundle, "--gofer-mount-confs="+joinConfs(confs))
	c.donate("spec-fd", spec)
	ends := &goferEnds{}
	var theirs *os.File
	var err error
	if ends.mounts, theirs, err = os.Pipe(); err != nil {
		return c, ends, err
	}
	c.give("mounts-fd", theirs)
	if ends.requests, theirs, err = socketPair(unix.SOCK_STREAM); err != nil {
		return c, ends, err
	}
	c.give("rpc-fd", theirs)
	if ring != nil {
		c.donate("pin-ring-fd", ring)
		if ends.exit, theirs, err = socketPair(unix.SOCK_SEQPACKET); err != nil {
			return c, ends, err
		}
		c.give("sync-sentry-exit-fd", theirs)
	}
	for range countServed(confs) {
		ours, theirs, err := socketPair(unix.SOCK_STREAM)
		if err != nil {
			return c, ends, err
		}
		sentry.own = append(sentry.own, ours)
		sentry.served = append(sentry.served, ours)
		c.give("io-fds", theirs)
	}
	c.add(id)
	return c, ends, nil
}

func (e *goferEnds) close() {
	closeAll([]*os.File{e.mounts, e.exit, e.requests})
}

func socketPair(kind int) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "gofer"), os.NewFile(uintptr(fds[1]), "gofer"), nil
}

// startGofer starts the gofer: its first descriptors after the standard streams are
// the mounts that the root donates.
func startGofer(c *command, ids idMap, donated []*os.File) (int, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	files := slices.Concat([]*os.File{null, null, null}, donated, c.files)
	argv := append([]string{wire.GoferName}, c.argv(wire.DonatedFD(len(donated)))...)
	pid, err := fork(argv, ids, files)
	if err != nil {
		return 0, fmt.Errorf("start the gofer: %w", err)
	}
	return pid, nil
}

// pinRing makes a ring that is never enabled. Sentry and gofer hold it, and in it the
// sentry's files whose release is slow: the sentry's end does not wait for them. nil
// where the kernel has none.
func pinRing() *os.File {
	const setupDisabled = 1 << 6 // IORING_SETUP_R_DISABLED
	var params struct {
		_     [2]uint32
		flags uint32
		_     [27]uint32 // struct io_uring_params has 120 bytes
	}
	params.flags = setupDisabled
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return nil
	}
	return os.NewFile(fd, "pin ring")
}

// tellSentry gives the gofer a descriptor of the sentry, which it outlives by a moment.
func (e *goferEnds) tellSentry(pid int) error {
	if e.exit == nil {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	err = unix.Sendmsg(int(e.exit.Fd()), []byte{0}, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
	return os.NewSyscallError("sendmsg", err)
}

// serveSources opens for the gofer what it is to bind and its ids cannot reach: the
// given sources, in the gofer's own mount namespace. It ends with the connection,
// which the gofer closes before it serves anybody. requests is closed.
func serveSources(requests *os.File, gofer int, sources []string) {
	c, err := net.FileConn(requests)
	requests.Close()
	if err != nil {
		return // the gofer says what it misses
	}
	defer c.Close()
	conn := c.(*net.UnixConn)
	for {
		var request struct {
			Arg struct {
				Mount struct {
					Source string `json:"source"`
				}
			} `json:"arg"`
		}
		first, files, err := receive(conn)
		closeAll(files)
		if err != nil || decode(first, conn, &request) != nil {
			return
		}
		answer := rpcAnswer{Success: true, Result: struct{}{}}
		file, err := openSource(gofer, request.Arg.Mount.Source, sources)
		if err != nil {
			answer = rpcAnswer{Err: err.Error()}
		} else {
			files = []*os.File{file}
		}
		data, err := json.Marshal(answer)
		if err == nil {
			err = send(conn, data, files)
		}
		closeAll(files)
		if err != nil {
			return
		}
	}
}

func openSource(gofer int, source string, sources []string) (*os.File, error) {
	if !slices.Contains(sources, source) {
		return nil, fmt.Errorf("%q is no source of a mount", source)
	}
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", gofer), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, source, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: source, Err: err}
	}
	return os.NewFile(uintptr(fd), source), nil
}
