package control

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// SocketName is the listening socket in a sandbox's directory.
const SocketName = "control.sock"

// Listener accepts connections of the same user to a sandbox.
type Listener struct {
	file *os.File
	raw  syscall.RawConn
}

// Listen binds the socket in the directory dirfd. The path goes through
// /proc/self/fd, since sun_path holds 108 bytes only.
func Listen(dirfd int) (*Listener, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, sockaddr(dirfd)); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind "+SocketName, err)
	}
	if err := unix.Listen(fd, 128); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("listen", err)
	}
	file := os.NewFile(uintptr(fd), SocketName)
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Listener{file: file, raw: raw}, nil
}

// Accept returns the next connection of a peer that runs as our user or as root.
func (l *Listener) Accept() (*Conn, error) {
	for {
		fd := -1
		var acceptErr error
		err := l.raw.Read(func(s uintptr) bool {
			fd, _, acceptErr = unix.Accept4(int(s), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return acceptErr != unix.EAGAIN
		})
		if err != nil {
			return nil, err
		}
		if acceptErr == unix.EINTR || acceptErr == unix.ECONNABORTED {
			continue
		}
		if acceptErr != nil {
			return nil, os.NewSyscallError("accept", acceptErr)
		}
		conn, err := NewConn(fd)
		if err != nil {
			return nil, err
		}
		cred, err := conn.Peer()
		if err == nil && (int(cred.Uid) == os.Geteuid() || cred.Uid == 0) {
			return conn, nil
		}
		conn.Close()
	}
}

// Close stops listening; a blocked Accept returns.
func (l *Listener) Close() error { return l.file.Close() }

// Dial connects to the socket in the directory dirfd and returns the connection
// and the listener's process id. It never blocks: a full backlog is EAGAIN. The
// listener must run as our user or as root.
func Dial(dirfd int) (*Conn, int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, 0, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, sockaddr(dirfd)); err != nil {
		unix.Close(fd)
		return nil, 0, os.NewSyscallError("connect "+SocketName, err)
	}
	conn, err := NewConn(fd)
	if err != nil {
		return nil, 0, err
	}
	cred, err := conn.Peer()
	if err == nil && int(cred.Uid) != os.Geteuid() && cred.Uid != 0 {
		err = fmt.Errorf("the sandbox's supervisor runs as uid %d: %w", cred.Uid, syscall.EPERM)
	}
	if err != nil {
		conn.Close()
		return nil, 0, err
	}
	return conn, int(cred.Pid), nil
}

func sockaddr(dirfd int) *unix.SockaddrUnix {
	return &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dirfd, SocketName)}
}
