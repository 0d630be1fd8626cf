package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// defaultName is the link to the kernel that is used when none is named.
const defaultName = "default"

// remedy ends every error about a kernel that is not there.
const remedy = "run  msb kernel install"

// Find returns the kernel to boot. path is what the caller gave: the directory of a
// prepared kernel, a vmlinuz or a vmlinux; "" is the default of the first of the
// directories of kernels that has one, else the newest kernel in /boot. Kernels are
// prepared in the first directory.
func Find(path string, kernels []string) (*Kernel, error) {
	if path != "" {
		return named(path, kernels)
	}
	for _, dir := range kernels {
		k, err := Load(filepath.Join(dir, defaultName))
		if err == nil {
			return k, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.NotFound, fault.StageEngine, "guest kernel in %s: %v; %s", dir, err, remedy)
		}
	}
	file := Installed("/boot")
	if file == "" {
		return nil, fault.New(fault.NotFound, fault.StageEngine, "there is no guest kernel: none in %s, and no /boot/vmlinuz-* with its modules; %s",
			strings.Join(kernels, ", "), remedy)
	}
	return cached(file, kernels[0])
}

func named(path string, kernels []string) (*Kernel, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fault.New(fault.NotFound, fault.StageEngine, "guest kernel %v; give a vmlinuz, or %s", err, remedy)
	}
	if !st.IsDir() {
		return cached(path, kernels[0])
	}
	k, err := Load(path)
	if err != nil {
		return nil, fault.New(fault.Invalid, fault.StageEngine, "guest kernel %s: no prepared kernel is in it (%v); give a vmlinuz, or %s", path, err, remedy)
	}
	return k, nil
}

// Installed returns the newest kernel below dir whose modules are there too, cloud
// kernels first: they are smaller. "" is none.
func Installed(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "vmlinuz-*"))
	slices.SortFunc(files, func(a, b string) int {
		if ca, cb := strings.Contains(a, "-cloud-"), strings.Contains(b, "-cloud-"); ca != cb {
			if ca {
				return -1
			}
			return 1
		}
		return compareVersions(b, a)
	})
	for _, f := range files {
		release := strings.TrimPrefix(filepath.Base(f), "vmlinuz-")
		if _, err := findModules(f, release); err == nil && unix.Access(f, unix.R_OK) == nil {
			return f
		}
	}
	return ""
}

// compareVersions orders texts with numbers in them by these numbers.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		na, ra := leadingNumber(a)
		nb, rb := leadingNumber(b)
		switch {
		case ra != a && rb != b && na != nb:
			return na - nb
		case ra != a && rb != b:
			a, b = ra, rb
		case a[0] != b[0]:
			return int(a[0]) - int(b[0])
		default:
			a, b = a[1:], b[1:]
		}
	}
	return len(a) - len(b)
}

func leadingNumber(s string) (n int, rest string) {
	for s != "" && s[0] >= '0' && s[0] <= '9' && n < 1<<24 {
		n, s = n*10+int(s[0]-'0'), s[1:]
	}
	return n, s
}

// cached prepares a kernel file once: a link named by the file's identity leads to
// what was made of it.
func cached(file, kernels string) (*Kernel, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "guest kernel")
	}
	var st unix.Stat_t
	if err := unix.Stat(abs, &st); err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "guest kernel "+abs)
	}
	link := filepath.Join(kernels, fmt.Sprintf("of-%x-%x-%x-%x.%x", st.Dev, st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec))
	if k, err := Load(link); err == nil {
		return k, nil
	}
	k, err := Prepare(kernels, abs, "")
	if err != nil {
		code := fault.Invalid
		if errors.Is(err, fs.ErrPermission) {
			code = fault.Permission
		}
		return nil, fault.New(code, fault.StageEngine, "guest kernel: %v; give another vmlinuz, or %s", err, remedy)
	}
	point(link, k) // without it the kernel is prepared again, which is no more than slow
	return k, nil
}

// point makes link lead to a kernel, whatever it led to before.
func point(link string, k *Kernel) error {
	tmp := fmt.Sprintf("%s.%d", link, os.Getpid())
	os.Remove(tmp)
	if err := os.Symlink(filepath.Base(k.Dir), tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, link); err != nil {
		os.Remove(tmp)
		return err
	}
	return nil
}

// SetDefault makes a prepared kernel the one that is used when none is named.
func SetDefault(kernels string, k *Kernel) error {
	return point(filepath.Join(kernels, defaultName), k)
}

// Listed is a prepared kernel in a directory of kernels.
type Listed struct {
	*Kernel
	Default bool
}

// List returns the kernels of a directory that this version can boot.
func List(kernels string) ([]Listed, error) {
	entries, err := os.ReadDir(kernels)
	if err != nil {
		return nil, err
	}
	standard, _ := os.Readlink(filepath.Join(kernels, defaultName))
	var out []Listed
	for _, e := range entries {
		if !e.IsDir() || e.Name()[0] == '.' {
			continue
		}
		if k, err := Load(filepath.Join(kernels, e.Name())); err == nil {
			out = append(out, Listed{k, e.Name() == standard})
		}
	}
	return out, nil
}
