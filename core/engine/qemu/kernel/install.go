package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// DefaultPackage is Debian's package of the kernel for virtual machines.
const DefaultPackage = "linux-image-cloud-amd64"

// ErrNoApt is what Download returns where there is no apt.
var ErrNoApt = errors.New("apt-get and dpkg-deb are needed to download a kernel: this is no Debian; " +
	"give a kernel instead:  msb kernel install --from /boot/vmlinuz-VERSION")

// Download fetches the package of a kernel with apt, which checks its signature, and
// unpacks it into dir: nothing is installed, no hook runs, and no privileges are
// needed. It returns the kernel's file.
func Download(ctx context.Context, name, dir string) (string, error) {
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", ErrNoApt
		}
	}
	name, err := imagePackage(ctx, name)
	if err != nil {
		return "", err
	}
	// As another user apt could not write here.
	if _, err := run(ctx, dir, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name); err != nil {
		return "", err
	}
	debs, _ := filepath.Glob(filepath.Join(dir, "*.deb"))
	if len(debs) != 1 {
		return "", fmt.Errorf("apt-get download %s: %d packages came", name, len(debs))
	}
	return Unpack(ctx, debs[0], dir)
}

// Unpack unpacks a kernel's package into dir and returns the kernel's file.
func Unpack(ctx context.Context, deb, dir string) (string, error) {
	deb, err := filepath.Abs(deb)
	if err != nil {
		return "", err
	}
	if _, err := run(ctx, dir, "dpkg-deb", "-x", deb, "files"); err != nil { // it runs in dir
		return "", err
	}
	file := Installed(filepath.Join(dir, "files/boot"))
	if file == "" {
		return "", fmt.Errorf("%s: there is no boot/vmlinuz-* with its modules in it", deb)
	}
	return file, nil
}

// imagePackage resolves a meta package to the image that it depends on.
func imagePackage(ctx context.Context, name string) (string, error) {
	if name == "" || strings.HasPrefix(name, "-") {
		return "", fmt.Errorf("package %q: no name of a package", name)
	}
	out, err := run(ctx, "/", "apt-cache", "depends", "--important", name)
	if err != nil {
		return "", fmt.Errorf("%w; does  apt-get update  help?", err)
	}
	for line := range strings.Lines(out) {
		kind, dep, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if kind == "Depends" && strings.HasPrefix(dep, "linux-image-") {
			return dep, nil
		}
	}
	return name, nil
}

// run runs a tool and returns its output; an error has its last line.
func run(ctx context.Context, dir, tool string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(stderr.String())
		text = text[strings.LastIndexByte(text, '\n')+1:]
		return "", fmt.Errorf("%s %s: %w: %s", tool, strings.Join(args, " "), err, text)
	}
	return stdout.String(), nil
}
