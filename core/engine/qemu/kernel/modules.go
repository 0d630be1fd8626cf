package kernel

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// wanted are the modules that a guest needs, in order; what they depend on is loaded
// before them. An optional one may be missing: it serves a feature of its own, or is
// part of another in some kernels.
var wanted = []struct {
	name     string
	optional bool
}{
	{"virtio_mmio", false},
	{"virtio_console", false},
	{"virtio_blk", false},
	{"crc32c_generic", true}, // EROFS and ext4 look for a checksum by name, not by dependency
	{"erofs", false},
	{"overlay", false},
	{"ext4", true},
	{"virtio_balloon", true},
}

// module is one module as it is packed.
type module struct {
	name string
	data []byte
}

// tree is the modules directory of one kernel.
type tree struct {
	dir     string
	paths   map[string]string // of the module files, by name
	builtin map[string]bool
	done    map[string]bool
	out     []module
}

// selectModules reads the wanted modules, in load order.
func selectModules(dir string) ([]module, error) {
	t := &tree{dir: dir, paths: map[string]string{}, builtin: map[string]bool{}, done: map[string]bool{}}
	if err := t.index(); err != nil {
		return nil, err
	}
	for _, w := range wanted {
		err := t.add(w.name, 0)
		if err != nil && !(w.optional && errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
	}
	return t.out, nil
}

// moduleName is the name of a module's file: dashes and underscores are the same.
func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

func (t *tree) index() error {
	list, err := os.ReadFile(filepath.Join(t.dir, "modules.builtin"))
	if err != nil {
		return fmt.Errorf("modules of the kernel: %w", err)
	}
	for line := range strings.Lines(string(list)) {
		t.builtin[moduleName(strings.TrimSpace(line))] = true
	}
	err = filepath.WalkDir(t.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.Contains(e.Name(), ".ko") {
			t.paths[moduleName(path)] = path
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("modules of the kernel: %w", err)
	}
	return nil
}

// maxDepth bounds how deep modules may depend on each other.
const maxDepth = 32

// add puts a module after all that it depends on.
func (t *tree) add(name string, depth int) error {
	if t.builtin[name] || t.done[name] {
		return nil
	}
	path, ok := t.paths[name]
	if !ok {
		return fmt.Errorf("module %s: not in %s: %w", name, t.dir, fs.ErrNotExist)
	}
	if depth > maxDepth {
		return fmt.Errorf("module %s: dependencies go round in circles", name)
	}
	data, err := readModule(path)
	if err != nil {
		return fmt.Errorf("module %s: %w", path, err)
	}
	depends, err := dependencies(data)
	if err != nil {
		return fmt.Errorf("module %s: %w", path, err)
	}
	for _, d := range depends {
		if err := t.add(d, depth+1); err != nil {
			return err
		}
	}
	t.done[name] = true
	t.out = append(t.out, module{name, stripSignature(data)})
	return nil
}

func readModule(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decompress(data, -1)
}

// dependencies reads "depends=" of a module's section .modinfo.
func dependencies(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no module: there is no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(entry, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(strings.ReplaceAll(string(list), "-", "_"), ","), nil
		}
	}
	return nil, nil
}

// A signed module ends in its signature, a structure of 12 bytes whose last four are
// the signature's length (big-endian), and this text.
const signatureMagic = "~Module signature appended~\n"

func stripSignature(data []byte) []byte {
	const trailer = 12
	rest, ok := bytes.CutSuffix(data, []byte(signatureMagic))
	if !ok || len(rest) < trailer {
		return data
	}
	n := len(rest)
	length := int(rest[n-4])<<24 | int(rest[n-3])<<16 | int(rest[n-2])<<8 | int(rest[n-1])
	if length > n-trailer {
		return data
	}
	return rest[:n-trailer-length]
}

// archive packs modules with their load list.
func archive(list []module) []byte {
	var a Archive
	a.Dir("dev")
	a.CharDevice("dev/console", 5, 1)
	a.Dir("modules")
	var order strings.Builder
	for _, m := range list {
		order.WriteString(m.name + ".ko\n")
		a.File("modules/"+m.name+".ko", 0o600, m.data)
	}
	a.File("modules/load", 0o600, []byte(order.String()))
	return a.Bytes()
}
