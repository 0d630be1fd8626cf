package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// roots holds the same tree twice, for both sides.
type roots struct {
	dir   string
	erofs string // image file
}

func (r roots) path(kind string) string {
	if kind == "erofs" {
		return r.erofs
	}
	return r.dir
}

// makeRoots builds a tree of a static busybox and our guest program, and an
// EROFS image of it.
func makeRoots(ctx context.Context, s settings, scratch string) (roots, error) {
	r := roots{dir: filepath.Join(scratch, "root"), erofs: filepath.Join(scratch, "root.erofs")}
	for _, d := range []string{"bin", "data", "dev", "etc", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(r.dir, d), 0o755); err != nil {
			return r, err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return r, fmt.Errorf("%w: install the package busybox-static", err)
	}
	for target, source := range map[string]string{"busybox": busybox, "guest": s.product("bench", "guest")} {
		data, err := os.ReadFile(source)
		if err != nil {
			return r, err
		}
		if err := os.WriteFile(filepath.Join(r.dir, "bin", target), data, 0o755); err != nil {
			return r, err
		}
	}
	for _, applet := range []string{"echo", "sh", "sleep"} {
		if err := os.Symlink("busybox", filepath.Join(r.dir, "bin", applet)); err != nil {
			return r, err
		}
	}
	return r, makeImage(ctx, r)
}

// makeImage leaves the tails of files out of the inodes: the sentry cannot map
// those.
func makeImage(ctx context.Context, r roots) error {
	mkfs, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		return fmt.Errorf("%w: install the package erofs-utils", err)
	}
	out, err := exec.CommandContext(ctx, mkfs, "-T0", "--all-root", "-E", "noinline_data", r.erofs, r.dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mkfs.erofs: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
