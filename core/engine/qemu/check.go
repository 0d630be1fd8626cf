package qemu

import (
	"fmt"
	"os"
	goruntime "runtime"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// minMemory is the least that a guest boots with: its kernel and the initramfs take
// some 60 MiB until the first program runs.
const minMemory = 96 << 20

// binaries are where QEMU is looked for: never $PATH, and in /usr, which is all that the
// jail shows.
var binaries = []string{"/usr/bin/qemu-system-x86_64", "/usr/local/bin/qemu-system-x86_64"}

func findBinary() (string, error) {
	for _, path := range binaries {
		if st, err := os.Stat(path); err == nil && st.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fault.New(fault.NotFound, fault.StageEngine, "QEMU is missing (%s): on Debian  apt-get install qemu-system-x86", binaries[0])
}

// imageCommand is what makes an image that stands in for a directory.
const imageCommand = "mkfs.erofs -T0 -E noinline_data IMAGE DIRECTORY"

// Supports tells whether a machine of this engine can be what the configuration asks
// for. Nothing of it depends on the host.
func (e sandboxer) Supports(cfg engine.Config) error {
	if goruntime.GOARCH != "amd64" {
		return fault.New(fault.Unsupported, fault.StageEngine, "engine %s: this build is for %s, it needs amd64", e.Name(), goruntime.GOARCH)
	}
	if cfg.MemoryBytes < minMemory {
		return fault.New(fault.Limit, fault.StageEngine, "engine %s: a guest with a kernel of its own needs at least %d MiB of memory, not %d",
			e.Name(), minMemory>>20, cfg.MemoryBytes>>20)
	}
	switch cfg.Root.Kind {
	case image.EROFS:
	case image.Dir:
		return e.noDirectories("root", fmt.Sprintf("directory %q", cfg.Root.Path), "and use it as root of kind erofs")
	default:
		return e.noDirectories("root", "the host's toolchain", "and use it as root of kind erofs")
	}
	for _, m := range cfg.Mounts {
		if m.Spec.Kind == mounts.Bind {
			return e.noDirectories(m.Spec.String(), fmt.Sprintf("%q of the host", m.Spec.Source), "and mount it with kind erofs")
		}
	}
	return nil
}

func (e sandboxer) noDirectories(what, source, use string) error {
	return fault.New(fault.Unsupported, fault.StageRoot, "%s: engine %s cannot show %s in a microVM; make an image of it,  %s , %s",
		what, e.Name(), source, imageCommand, use)
}
