package mounts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Source is a mount whose source is open. Its descriptor is all that later
// steps use.
type Source struct {
	Spec Spec
	// Dir tells a directory from a file. A Tmpfs is a directory.
	Dir bool
	// Recursive is set where file systems are mounted below the source: in
	// another user namespace the kernel refuses to bind it without them.
	Recursive bool

	file     *os.File // nil for a Tmpfs
	dev, ino uint64
}

// Open opens the source of a mount, in the form that Validate returned. Links
// in the path are followed now and never again. A Bind's descriptor is
// O_PATH, an image's is open for reading, and for writing where the guest may.
func Open(spec Spec) (*Source, error) {
	if spec.Kind == Tmpfs {
		return &Source{Spec: spec, Dir: true}, nil
	}
	fd, err := openPath(spec.Source)
	if err != nil {
		return nil, spec.cannotOpen(err)
	}
	s, err := newSource(spec, os.NewFile(uintptr(fd), spec.Source))
	if err != nil || spec.Kind == Bind {
		return s, err
	}
	image, err := s.reopen(spec.imageMode())
	s.Close()
	if err != nil {
		return nil, spec.cannotOpen(err)
	}
	return FromFD(spec, image)
}

// FromFD makes a source of a descriptor that another process opened, and
// checks all that Open does. It takes ownership of the file, on error too.
func FromFD(spec Spec, file *os.File) (*Source, error) {
	s, err := newSource(spec, file)
	if err != nil {
		return nil, err
	}
	if err := s.checkDescriptor(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// openPath opens what path leads to, without its content. Links of /proc are
// refused: they lead to something else in each process.
func openPath(path string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

// newSource checks what file is, and takes ownership of it, on error too.
func newSource(spec Spec, file *os.File) (*Source, error) {
	s := &Source{Spec: spec, file: file}
	err := s.inspect()
	if err == nil {
		err = s.checkAccess()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return s, nil
}

// inspect finds out what the descriptor is.
func (s *Source) inspect() error {
	var st unix.Stat_t
	if err := unix.Fstat(s.fd(), &st); err != nil {
		return s.Spec.cannotOpen(err)
	}
	s.dev, s.ino = st.Dev, st.Ino
	kind := st.Mode & unix.S_IFMT
	s.Dir = kind == unix.S_IFDIR
	switch {
	case kind != unix.S_IFREG && kind != unix.S_IFDIR:
		return s.Spec.invalid("source %q is %s: only directories and regular files can be mounted", s.Spec.Source, typeName(kind))
	case s.Spec.Kind == Disk && s.Dir:
		return s.Spec.invalid("source %q is a directory, not a disk image: mount it as a bind", s.Spec.Source)
	case s.Spec.Kind == EROFS && s.Dir:
		return s.Spec.invalid("source %q is a directory, not an EROFS image: mount it as a bind", s.Spec.Source)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(s.fd(), &fs); err != nil {
		return s.Spec.cannotOpen(err)
	}
	if fs.Type == unix.PROC_SUPER_MAGIC {
		return s.Spec.invalid("source %q is on the host's procfs, which shows the host's processes; the guest has its own", s.Spec.Source)
	}
	if s.Dir {
		s.Recursive = hasMounts(s.fd())
	}
	return nil
}

func typeName(kind uint32) string {
	switch kind {
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFBLK:
		return "a block device"
	case unix.S_IFCHR:
		return "a character device"
	case unix.S_IFLNK:
		return "a symbolic link"
	}
	return "of an unknown type"
}

// checkAccess refuses what could never work: a file that cannot be read, a
// writable mount of one that cannot be written, or of a file system that is
// read-only. A directory's files have access rights of their own.
func (s *Source) checkAccess() error {
	if !s.Dir {
		if err := access(s.fd(), unix.R_OK); err != nil {
			return s.Spec.cannotOpen(err)
		}
	}
	if s.Spec.ReadOnly {
		return nil
	}
	err := access(s.fd(), unix.W_OK)
	if err == unix.EROFS || err != nil && !s.Dir {
		e := fault.Wrap(err, fault.Permission, stage, fmt.Sprintf("%s: write to source %q", s.Spec, s.Spec.Source))
		e.Message += "; mount it read-only"
		return e
	}
	return nil
}

func access(fd int, mode uint32) error {
	return unix.Faccessat2(fd, "", mode, unix.AT_EMPTY_PATH|unix.AT_EACCESS)
}

// checkDescriptor checks how a received descriptor is open: it must not be
// able to do more than Open's.
func (s *Source) checkDescriptor() error {
	flags, err := unix.FcntlInt(uintptr(s.fd()), unix.F_GETFL, 0)
	if err != nil {
		return s.Spec.cannotOpen(err)
	}
	unix.CloseOnExec(s.fd())
	if s.Spec.Kind == Bind {
		if flags&unix.O_PATH == 0 {
			return s.Spec.invalid("the descriptor is open for input or output, not with O_PATH")
		}
		return nil
	}
	if flags&(unix.O_PATH|unix.O_ACCMODE) != s.Spec.imageMode() {
		if s.Spec.imageMode() == unix.O_RDWR {
			return s.Spec.invalid("the descriptor is not open for reading and writing")
		}
		return s.Spec.invalid("the descriptor is not open for reading alone")
	}
	if s.Spec.Kind == Disk {
		return s.checkDisk()
	}
	return s.checkMagic()
}

// imageMode is how an image is open.
func (s Spec) imageMode() int {
	if s.Kind == Disk && !s.ReadOnly {
		return unix.O_RDWR
	}
	return unix.O_RDONLY
}

// The superblock of an EROFS image lies at byte 1024 and starts with its magic
// number. Engines check the rest: what they can read differs.
const (
	erofsSuperblock = 1024
	erofsMagic      = 0xE0F5E1E2
)

func (s *Source) checkMagic() error {
	var magic [4]byte
	if _, err := s.file.ReadAt(magic[:], erofsSuperblock); err != nil || binary.LittleEndian.Uint32(magic[:]) != erofsMagic {
		return s.Spec.invalid("source %q is not an EROFS image; make one with mkfs.erofs", s.Spec.Source)
	}
	return nil
}

// File is the open source; nil for a Tmpfs. It stays the Source's.
func (s *Source) File() *os.File { return s.file }

func (s *Source) fd() int { return int(s.file.Fd()) }

// SameFile tells whether two sources are one file, by whatever paths.
func (s *Source) SameFile(t *Source) bool {
	return s.file != nil && t.file != nil && s.dev == t.dev && s.ino == t.ino
}

// Close releases the source.
func (s *Source) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// reopen opens the same file with other flags.
func (s *Source) reopen(flags int) (*os.File, error) {
	fd, err := unix.Open(fdPath(s.fd()), flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), s.Spec.Source), nil
}

// fdPath is a path of an open file for calls that take no descriptor.
func fdPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// cannotOpen says why a source cannot be opened, and what to do.
func (s Spec) cannotOpen(err error) error {
	e := fault.Wrap(err, fault.IO, stage, fmt.Sprintf("%s: source %q", s, s.Source))
	switch {
	case errors.Is(err, unix.ENOENT):
		if target, lerr := os.Readlink(s.Source); lerr == nil {
			e.Message += fmt.Sprintf("; it is a link to %q, which leads nowhere", target)
		}
	case errors.Is(err, unix.ELOOP):
		e.Code = fault.Invalid
		e.Message += "; it goes round in circles, or through a link of /proc, which differs from process to process: give the path itself"
	case errors.Is(err, unix.EACCES):
		e.Message += fmt.Sprintf("; uid %d must be able to read it", os.Geteuid())
	case errors.Is(err, unix.ENOSYS):
		e.Code = fault.Unsupported
		e.Message += "; mounts need Linux 5.8 (openat2, faccessat2) and a seccomp filter that allows these calls"
	}
	return e
}

// hasMounts tells whether file systems are mounted below an open directory. What
// cannot be told counts as yes: to bind with all below works for both.
func hasMounts(dirfd int) bool {
	dir, err := os.Readlink(fdPath(dirfd))
	if err != nil {
		return true
	}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape.Replace(fields[4]); point != dir && below(point, dir) {
			return true
		}
	}
	return false
}

// unescape undoes the escapes of mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
