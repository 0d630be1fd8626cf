//go:build linux

package image

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Bind is a directory of the host that a root shows, read-only.
type Bind struct {
	Source, Target string // absolute; Target below the root
	// Recursive is set where file systems are mounted below Source: the kernel
	// then refuses to bind it alone in another user namespace.
	Recursive bool
}

// HostWork is the default working directory in a host root.
const HostWork = "/work"

// What of the host a host root shows. Never here: home directories, /var, /root,
// /run, /tmp, sockets and secrets. Of /usr and the rest only what its access
// rights give to the ids that the engine serves it with.
var (
	// hostTrees are shown where they are directories, and kept as links where
	// they are links into one that is shown (merged /usr).
	hostTrees = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"}

	// hostEtcTrees are patterns of directories below /etc.
	hostEtcTrees = []string{
		"/etc/alternatives", "/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted",
		"/etc/ca-certificates/extracted", "/etc/java-*-openjdk", "/etc/fonts",
	}

	// hostEtcFiles are copied: a copy costs less than one more mount.
	hostEtcFiles = []string{
		"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/localtime", "/etc/timezone", "/etc/os-release",
		"/etc/ssl/openssl.cnf", "/etc/protocols", "/etc/services", "/etc/mime.types",
	}
)

// hostOwnFiles are written by us. There is no resolv.conf: there is no network.
var hostOwnFiles = map[string]string{
	"/etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
	"/etc/group":         "root:x:0:\nnogroup:x:65534:\n",
	"/etc/hosts":         "127.0.0.1\tlocalhost sandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n",
	"/etc/hostname":      "sandbox\n",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n",
}

var hostDirs = []struct {
	name string
	mode os.FileMode
}{
	{"/tmp", 0o777 | os.ModeSticky}, {HostWork, 0o755}, {"/root", 0o700}, {"/etc", 0o755}, {"/proc", 0o555},
	{"/sys", 0o555}, {"/dev", 0o755}, {"/run", 0o755}, {"/var", 0o755}, {"/var/tmp", 0o777 | os.ModeSticky},
}

// maxEtcFile bounds a copied file; a linker cache has some hundred KiB.
const maxEtcFile = 8 << 20

// MakeHost fills the empty directory dir with the skeleton of a host root and
// returns what is to be bound into it. Everything in it belongs to uid and gid,
// which only root can choose; -1 leaves them.
func MakeHost(dir string, uid, gid int) ([]Bind, error) {
	s := &skeleton{dir: dir, uid: uid, gid: gid}
	s.own(dir, 0o755)
	for _, d := range hostDirs {
		s.mkdir(d.name, d.mode)
	}
	for name, text := range hostOwnFiles {
		s.write(name, []byte(text))
	}
	s.link("/etc/mtab", "../proc/self/mounts")
	s.link("/var/run", "/run")
	for _, tree := range hostTrees {
		s.tree(tree)
	}
	for _, pattern := range hostEtcTrees {
		matches, _ := filepath.Glob(pattern)
		for _, m := range matches {
			s.tree(m)
		}
	}
	for _, name := range hostEtcFiles {
		s.copy(name)
	}
	if s.err != nil {
		return nil, fault.Wrap(s.err, fault.IO, fault.StageRoot, "host root")
	}
	if len(s.binds) == 0 {
		return nil, fault.New(fault.NotFound, fault.StageRoot, "host root: this host has no /usr, /bin or /lib to show")
	}
	return s.binds, markRecursive(s.binds)
}

// skeleton is a host root in the making; the first error stays.
type skeleton struct {
	dir      string
	uid, gid int
	binds    []Bind
	err      error
}

func (s *skeleton) keep(err error) {
	if s.err == nil {
		s.err = err
	}
}

// own sets a file's mode, whatever the umask is, and owner.
func (s *skeleton) own(path string, mode os.FileMode) {
	s.keep(os.Chmod(path, mode))
	s.keep(os.Lchown(path, s.uid, s.gid))
}

func (s *skeleton) mkdir(name string, mode os.FileMode) {
	path := filepath.Join(s.dir, name)
	if err := os.Mkdir(path, mode); err != nil {
		if !os.IsExist(err) {
			s.keep(err)
		}
		return
	}
	s.own(path, mode)
}

// parents makes the directories above name.
func (s *skeleton) parents(name string) {
	for i, c := range name {
		if c == '/' && i > 0 {
			s.mkdir(name[:i], 0o755)
		}
	}
}

func (s *skeleton) write(name string, data []byte) {
	s.parents(name)
	path := filepath.Join(s.dir, name)
	s.keep(os.WriteFile(path, data, 0o644))
	s.own(path, 0o644)
}

func (s *skeleton) link(name, target string) {
	s.parents(name)
	path := filepath.Join(s.dir, name)
	s.keep(os.Symlink(target, path))
	s.keep(os.Lchown(path, s.uid, s.gid))
}

// tree shows a directory of the host, or keeps a link into a shown one. What
// not everybody may read and search is left out.
func (s *skeleton) tree(name string) {
	st, err := os.Lstat(name)
	if err != nil {
		return
	}
	const readable = 0o005
	switch {
	case st.Mode()&os.ModeSymlink != 0:
		s.linkInto(name)
	case st.IsDir() && st.Mode().Perm()&readable == readable:
		s.parents(name)
		s.mkdir(name, 0o755)
		s.binds = append(s.binds, Bind{Source: name, Target: name})
	}
}

// linkInto keeps a link of the host if it leads into a shown directory.
func (s *skeleton) linkInto(name string) bool {
	target, err := os.Readlink(name)
	if err != nil {
		return false
	}
	to := target
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(name), to)
	}
	for _, b := range s.binds {
		if to == b.Target || strings.HasPrefix(to, b.Target+"/") {
			s.link(name, target)
			return true
		}
	}
	return false
}

// copy copies a small file of the host that everybody may read.
func (s *skeleton) copy(name string) {
	if st, err := os.Lstat(name); err != nil || st.Mode()&os.ModeSymlink != 0 && s.linkInto(name) {
		return
	}
	const readable = 0o004
	st, err := os.Stat(name)
	if err != nil || !st.Mode().IsRegular() || st.Mode().Perm()&readable == 0 || st.Size() > maxEtcFile {
		return
	}
	data, err := os.ReadFile(name)
	if err != nil {
		s.keep(fmt.Errorf("copy %s: %w", name, err))
		return
	}
	s.write(name, data)
}

// markRecursive finds the binds that have mounts below them.
func markRecursive(binds []Bind) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fault.Wrap(err, fault.IO, fault.StageRoot, "host root")
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		for i := range binds {
			if strings.HasPrefix(fields[4], binds[i].Source+"/") {
				binds[i].Recursive = true
			}
		}
	}
	return nil
}
