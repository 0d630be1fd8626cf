package mounts

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Kind is what a mount shows.
type Kind uint32

// The kinds of mount.
const (
	Bind  Kind = 0 // a directory or a regular file of the host
	Tmpfs Kind = 1 // an empty file system in memory
	EROFS Kind = 2 // the content of an EROFS image file, read-only
	Disk  Kind = 3 // the ext4 file system in a disk image
)

// Limits.
const (
	MaxMounts = 64
	maxPath   = 4095 // bytes, as PATH_MAX without the terminating NUL
	maxName   = 255  // bytes of one component, as NAME_MAX

	DefaultTmpfs = 64 << 20 // bytes, for a SizeBytes of 0
	MinTmpfs     = 4 << 10  // one page
	MaxTmpfs     = 1 << 50  // as the limit of a sandbox's memory, which comes first
)

// Spec describes one mount. Paths are bytes and need not be UTF-8.
type Spec struct {
	Kind   Kind
	Source string // absolute, on the host; empty for Tmpfs
	Target string // absolute and clean, in the guest
	// ReadOnly refuses changes by the guest. EROFS always has it.
	ReadOnly bool
	NoExec   bool // no program is executed from it
	NoSUID   bool // set-user-id bits and file capabilities have no effect
	NoDev    bool // device files cannot be opened
	// QCOW2 says that a Disk's image is one; else it is raw. It is never guessed: a
	// guest could write what makes a raw image look like another one.
	QCOW2 bool
	// SizeBytes limits a Tmpfs; 0 is DefaultTmpfs. Of other kinds it is 0.
	SizeBytes uint64
}

// String names the mount in messages.
func (s Spec) String() string {
	if s.Target == "" {
		return fmt.Sprintf("mount of %q", s.Source)
	}
	return fmt.Sprintf("mount %q", s.Target)
}

func (s Spec) invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fault.StageArgument, "%s: %s", s, fmt.Sprintf(format, args...))
}

// normalize checks what can be told without the host's files, and fills in
// what a zero stands for.
func (s Spec) normalize(reserved []string) (Spec, error) {
	if err := s.checkTarget(reserved); err != nil {
		return s, err
	}
	if s.Kind != Tmpfs && s.SizeBytes != 0 {
		return s, s.invalid("only a tmpfs has a size, not what exists already")
	}
	if s.Kind != Disk && s.QCOW2 {
		return s, s.invalid("only a disk can be a qcow2 image")
	}
	switch s.Kind {
	case Bind, Disk:
		return s, s.checkSource()
	case EROFS:
		s.ReadOnly = true
		return s, s.checkSource()
	case Tmpfs:
		if s.Source != "" {
			return s, s.invalid("a tmpfs has no source, not %q", s.Source)
		}
		if s.SizeBytes == 0 {
			s.SizeBytes = DefaultTmpfs
		}
		if s.SizeBytes < MinTmpfs || s.SizeBytes > MaxTmpfs {
			return s, s.invalid("a tmpfs of %d bytes: between %d and %d are allowed", s.SizeBytes, uint64(MinTmpfs), uint64(MaxTmpfs))
		}
		return s, nil
	}
	return s, s.invalid("there is no kind %d", s.Kind)
}

func (s Spec) checkSource() error {
	if s.Source == "" {
		return s.invalid("the source is missing")
	}
	if problem := pathProblem(s.Source); problem != "" {
		return s.invalid("source %q: %s", s.Source, problem)
	}
	return nil
}

// guestOwned are trees that the sandbox's kernel makes; a mount in them would
// hide or forge what programs trust.
var guestOwned = []string{"/proc", "/sys", "/dev"}

func (s Spec) checkTarget(reserved []string) error {
	t := s.Target
	if t == "" {
		return s.invalid("the target is missing")
	}
	if problem := pathProblem(t); problem != "" {
		return s.invalid("the target: %s", problem)
	}
	for name := range strings.SplitSeq(t, "/") {
		if name == ".." {
			return s.invalid(`the target: ".." is not allowed`)
		}
	}
	if clean := path.Clean(t); clean != t {
		return s.invalid("the target is not in its shortest form; write it as %q", clean)
	}
	if t == "/" {
		return s.checkRoot()
	}
	for _, list := range [][]string{guestOwned, reserved} {
		for _, r := range list {
			if below(t, r) || below(r, t) {
				return s.invalid("the target: %s belongs to the sandbox", r)
			}
		}
	}
	return nil
}

// checkRoot lets only a disk be at /: the one that takes the changes to the root.
func (s Spec) checkRoot() error {
	switch {
	case s.Kind != Disk:
		return s.invalid("the target: / is the root file system, which has options of its own; only a disk that takes the changes to it can be there")
	case s.ReadOnly || s.NoExec || s.NoSUID || s.NoDev:
		return s.invalid("a disk at / takes the changes to the root: it has no flags")
	}
	return nil
}

// below tells whether the clean path name is tree or in it.
func below(name, tree string) bool {
	return name == tree || tree == "/" || strings.HasPrefix(name, tree+"/")
}

// pathProblem says what is wrong with a path, whatever it leads to; "" is nothing.
func pathProblem(p string) string {
	switch {
	case strings.IndexByte(p, 0) >= 0:
		return "it has a NUL byte"
	case p[0] != '/':
		return "the path must be absolute"
	case len(p) > maxPath:
		return fmt.Sprintf("a path of %d bytes, at most %d are allowed", len(p), maxPath)
	}
	for name := range strings.SplitSeq(p, "/") {
		if len(name) > maxName {
			return fmt.Sprintf("a name of %d bytes in the path, at most %d are allowed", len(name), maxName)
		}
	}
	return ""
}

// specJSON is a Spec on the wire: JSON strings would alter bytes that are not UTF-8.
type specJSON struct {
	Kind      Kind   `json:"kind"`
	Source    []byte `json:"source,omitempty"`
	Target    []byte `json:"target"`
	ReadOnly  bool   `json:"ro,omitempty"`
	NoExec    bool   `json:"noexec,omitempty"`
	NoSUID    bool   `json:"nosuid,omitempty"`
	NoDev     bool   `json:"nodev,omitempty"`
	QCOW2     bool   `json:"qcow2,omitempty"`
	SizeBytes uint64 `json:"size_bytes,omitempty"`
}

// MarshalJSON keeps every byte of the paths.
func (s Spec) MarshalJSON() ([]byte, error) {
	return json.Marshal(specJSON{s.Kind, []byte(s.Source), []byte(s.Target), s.ReadOnly, s.NoExec, s.NoSUID, s.NoDev, s.QCOW2, s.SizeBytes})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Spec) UnmarshalJSON(data []byte) error {
	var w specJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*s = Spec{w.Kind, string(w.Source), string(w.Target), w.ReadOnly, w.NoExec, w.NoSUID, w.NoDev, w.QCOW2, w.SizeBytes}
	return nil
}
