//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/libmicrosandbox/microsandbox/core/engine/qemu/kernel"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// kernelCommand prepares the kernels that microVMs boot.
func kernelCommand(args []string) int {
	if len(args) > 0 {
		switch args[0] {
		case "install":
			return kernelInstall(args[1:])
		case "ls":
			return kernelList(args[1:])
		}
	}
	fmt.Fprintln(os.Stderr, "msb kernel: install or ls: see msb help")
	return exitUsage
}

// kernelInstall makes a kernel the one that microVMs boot when none is named.
func kernelInstall(args []string) int {
	f := newFlags("kernel install")
	from := f.String("from", "", "a vmlinuz, a vmlinux or a Debian package")
	name := f.String("package", "", "Debian package")
	modules := f.String("modules", "", "directory of its modules")
	system := f.Bool("system", false, "for all users")
	dir := f.String("dir", "", "directory of kernels")
	if f.Parse(args) != nil {
		return exitUsage
	}
	if f.NArg() > 0 || *from != "" && *name != "" {
		fmt.Fprintln(os.Stderr, "msb kernel install: --from or --package, and nothing else: see msb help")
		return exitUsage
	}
	switch {
	case *system:
		*dir = store.SystemKernels
	case *dir == "":
		*dir = environment().Kernels()[0]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	k, err := installKernel(ctx, *dir, *from, *name, *modules)
	if err != nil {
		fmt.Fprintln(os.Stderr, "msb: kernel:", err)
		return exitFailed
	}
	fmt.Printf("%s\n", k.Dir)
	return 0
}

// installKernel takes what was given, else the newest kernel in /boot, else Debian's
// package.
func installKernel(ctx context.Context, dir, from, name, modules string) (*kernel.Kernel, error) {
	if from == "" && name == "" {
		if from = kernel.Installed("/boot"); from == "" {
			name = kernel.DefaultPackage
		}
	}
	if name == "" && !strings.HasSuffix(from, ".deb") {
		return prepareKernel(dir, from, modules)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(dir, ".unpack-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	file := ""
	if name != "" {
		fmt.Fprintf(os.Stderr, "downloading %s; it is not installed on this machine\n", name)
		file, err = kernel.Download(ctx, name, work)
	} else {
		file, err = kernel.Unpack(ctx, from, work)
	}
	if err != nil {
		return nil, err
	}
	return prepareKernel(dir, file, modules)
}

func prepareKernel(dir, file, modules string) (*kernel.Kernel, error) {
	k, err := kernel.Prepare(dir, file, modules)
	if err != nil {
		return nil, err
	}
	return k, kernel.SetDefault(dir, k)
}

func kernelList(args []string) int {
	f := newFlags("kernel ls")
	dir := f.String("dir", "", "directory of kernels")
	if f.Parse(args) != nil || f.NArg() > 0 {
		return exitUsage
	}
	dirs := environment().Kernels()
	if *dir != "" {
		dirs = []string{*dir}
	}
	for _, dir := range dirs {
		list, err := kernel.List(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fail(err)
		}
		for _, k := range list {
			mark := " "
			if k.Default {
				mark = "*"
			}
			fmt.Printf("%s %s  %s\n", mark, k.Release, k.Dir)
		}
	}
	return 0
}
