package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/engine/qemu/kernel"
)

// vmHang is how long the bare machine may be silent before it is counted as hung.
const vmHang = 15 * time.Second

// bareVM is QEMU as a person would start it: the distribution's kernel image, and an
// initramfs with nothing but a first process that prints.
type bareVM struct {
	image, initrd string
	hangs, boots  int
}

func newBareVM(s settings, scratch string) (*bareVM, error) {
	b := &bareVM{image: s.product("bench", "vmlinuz"), initrd: filepath.Join(scratch, "vminit.cpio")}
	init, err := os.ReadFile(s.product("bench", "vminit"))
	if err != nil {
		return nil, err
	}
	var a kernel.Archive
	a.Dir("dev")
	a.CharDevice("dev/console", 5, 1)
	a.File("init", 0o755, init)
	return b, os.WriteFile(b.initrd, a.Bytes(), 0o644)
}

// firstOutput adds the time from exec to the first process's line, in nanoseconds. A
// machine that hangs is counted and not tried again, and none after too many of them:
// on a busy host most hang.
func (b *bareVM) firstOutput(ctx context.Context, most int, times []float64) ([]float64, error) {
	if b.hangs > most {
		return times, nil
	}
	elapsed, err := b.boot(ctx)
	switch {
	case err == nil:
		return append(times, float64(elapsed)), nil
	case ctx.Err() != nil:
		return nil, err
	}
	b.hangs++
	return times, nil
}

func (b *bareVM) boot(ctx context.Context) (time.Duration, error) {
	b.boots++
	ctx, cancel := context.WithTimeout(ctx, vmHang)
	defer cancel()
	cmd := exec.CommandContext(ctx, vmBinary, "-M", "microvm", "-accel", "tcg", "-cpu", "max", "-m", "256M", "-nodefaults", "-no-user-config",
		"-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", b.image, "-initrd", b.initrd,
		"-append", "console=ttyS0 reboot=t panic=-1 quiet")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer cmd.Wait()
	defer cancel()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "hello from vminit") {
			return time.Since(begin), nil
		}
	}
	return 0, fmt.Errorf("the bare machine said nothing within %v", vmHang)
}
