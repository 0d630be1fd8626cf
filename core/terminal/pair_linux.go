package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// Set gives the terminal behind either end this size. Who has it as controlling
// terminal gets SIGWINCH when that changes it.
func (s Size) Set(fd int) error {
	err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(s.Rows), Col: uint16(s.Cols)})
	return os.NewSyscallError("TIOCSWINSZ", err)
}

// SetFile is Set for a file that somebody may close meanwhile.
func (s Size) SetFile(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := conn.Control(func(fd uintptr) { err = s.Set(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// Open makes a pair. Both ends are close-on-exec and nobody's controlling terminal.
func Open(size Size) (master, slave int, err error) {
	const path, flags = "/dev/ptmx", unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	master, err = unix.Open(path, flags, 0)
	if err != nil {
		return -1, -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err = unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err == nil {
		// Not by its path: /dev/pts may show another instance.
		fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, flags)
		if slave = int(fd); errno != 0 {
			err = errno
		}
	}
	if err != nil {
		unix.Close(master)
		return -1, -1, os.NewSyscallError("open the terminal of "+path, err)
	}
	if err = size.Set(slave); err != nil {
		unix.Close(master)
		unix.Close(slave)
		return -1, -1, err
	}
	return master, slave, nil
}

// IsSlave reports whether fd is the slave of a pseudo-terminal, open for both
// directions: what a program can have as its terminal.
func IsSlave(fd int) bool {
	const firstMajor, lastMajor = 136, 143 // UNIX98 slaves
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return false
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	major := unix.Major(st.Rdev)
	return err == nil && flags&unix.O_ACCMODE == unix.O_RDWR && major >= firstMajor && major <= lastMajor
}
