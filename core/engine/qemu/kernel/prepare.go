package kernel

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The files of a prepared kernel.
const (
	vmlinuxFile = "vmlinux"
	modulesFile = "modules.cpio"
	infoFile    = "kernel.json"
)

// format changes when kernels must be prepared anew.
const format = "1"

// Info says what a prepared kernel is.
type Info struct {
	Format  string   `json:"format"`
	Release string   `json:"release"` // as uname -r tells in the guest
	Source  string   `json:"source"`  // the file that it was made of
	Hash    string   `json:"hash"`    // of all that it was made of, in hex
	Modules []string `json:"modules"` // in load order
}

// Kernel is a prepared kernel.
type Kernel struct {
	Info
	Dir string
}

// Vmlinux is the path of the kernel.
func (k *Kernel) Vmlinux() string { return filepath.Join(k.Dir, vmlinuxFile) }

// Modules is the path of the modules' archive.
func (k *Kernel) Modules() string { return filepath.Join(k.Dir, modulesFile) }

// Prepare makes a prepared kernel of a vmlinuz or vmlinux file in a directory of
// kernels, or finds that it is there already. The modules are looked for in modules,
// or where they belong when that is empty.
func Prepare(kernels, file, modules string) (*Kernel, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	vmlinux, release, err := extract(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if modules == "" {
		if modules, err = findModules(file, release); err != nil {
			return nil, err
		}
	}
	list, err := selectModules(modules)
	if err != nil {
		return nil, err
	}
	cpio := archive(list)
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n%d\n", format, release, len(data))
	sum.Write(data)
	sum.Write(cpio)
	k := &Kernel{Info: Info{Format: format, Release: release, Source: file, Hash: hex.EncodeToString(sum.Sum(nil))}}
	for _, m := range list {
		k.Info.Modules = append(k.Info.Modules, m.name)
	}
	k.Dir = filepath.Join(kernels, k.Hash[:32])
	if present, err := Load(k.Dir); err == nil {
		return present, nil
	}
	return k, k.write(kernels, vmlinux, cpio)
}

// findModules looks beside the kernel's file first: a package that was unpacked
// elsewhere has them there.
func findModules(file, release string) (string, error) {
	if release == "" || strings.ContainsAny(release, "/\x00") {
		return "", fmt.Errorf("%s: its release is not known: modules cannot be found", file)
	}
	root := filepath.Dir(filepath.Dir(file))
	var tried []string
	for _, prefix := range []string{root, filepath.Join(root, "usr"), "/", "/usr"} {
		dir := filepath.Join(prefix, "lib/modules", release)
		if _, err := os.Stat(filepath.Join(dir, "modules.builtin")); err == nil {
			return dir, nil
		}
		tried = append(tried, dir)
	}
	return "", fmt.Errorf("%s: its modules are in none of %s", file, strings.Join(tried, ", "))
}

// write makes the directory under another name first: a kernel is there whole or not
// at all.
func (k *Kernel) write(kernels string, vmlinux, cpio []byte) error {
	if err := os.MkdirAll(kernels, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(kernels, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	info, err := json.MarshalIndent(k.Info, "", "  ")
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{vmlinuxFile: vmlinux, modulesFile: cpio, infoFile: append(info, '\n')} {
		if err := os.WriteFile(filepath.Join(tmp, name), data, 0o644); err != nil {
			return err
		}
	}
	err = os.Rename(tmp, k.Dir)
	if errors.Is(err, fs.ErrExist) {
		if _, lerr := Load(k.Dir); lerr == nil {
			return nil // somebody else was faster
		}
		os.RemoveAll(k.Dir) // of another format, or damaged
		err = os.Rename(tmp, k.Dir)
	}
	return err
}

// Load opens a prepared kernel.
func Load(dir string) (*Kernel, error) {
	data, err := os.ReadFile(filepath.Join(dir, infoFile))
	if err != nil {
		return nil, err
	}
	k := &Kernel{Dir: dir}
	if err := json.Unmarshal(data, &k.Info); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, infoFile), err)
	}
	if k.Format != format {
		return nil, fmt.Errorf("%s: prepared by another version of msb (format %q): run msb kernel install", dir, k.Format)
	}
	for _, path := range []string{k.Vmlinux(), filepath.Join(dir, modulesFile)} {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	}
	return k, nil
}
