package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/terminal"
)

// echoTrips are lines typed in one measurement, which is their median.
const echoTrips = 100

// terminal measures a line that is typed on a terminal until the program that reads
// there has written it back: the terminal's own echo is off.
func (m *measurement) terminal(ctx context.Context) ([]figure, error) {
	end, err := m.peer.stand(ctx, m.peer.standing)
	if err != nil {
		return nil, err
	}
	defer end()
	sb, err := core.Create(core.Options{
		MsbPath: m.product("bin", "msb"), State: core.State{Dir: filepath.Join(filepath.Dir(m.stateDir), "terminal")},
		Root: image.Root{Kind: image.EROFS, Path: m.roots.erofs}, StopGrace: -1,
	})
	if err != nil {
		return nil, err
	}
	defer func() { sb.Close(); <-sb.Done() }()
	defer context.AfterFunc(ctx, sb.Close)() // ends what waits for a terminal
	if <-sb.Ready(); sb.StartErr() != nil {
		return nil, sb.StartErr()
	}
	ours, peer, err := m.inTurns(
		func() ([]float64, error) { return libraryEcho(sb) },
		func() ([]float64, error) { return peerEcho(ctx, m.peer.execCommand("/bin/busybox", "cat")) },
	)
	if err != nil {
		return nil, err
	}
	f := figure{name: "pty_echo_round_trip", unit: "us", peerName: "runsc exec"}
	f.ours, f.peer = compare(ours[0], peer[0], func(nanoseconds float64) float64 { return nanoseconds / 1e3 })
	return []figure{f}, nil
}

func libraryEcho(sb *core.Sandbox) ([]float64, error) {
	pty := core.Stdio{Kind: core.StdioPty}
	p, err := sb.Start(core.ProcessOptions{Argv: []string{"/bin/busybox", "cat"}, Stdio: [3]core.Stdio{pty, pty, pty}})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	fd, err := p.Stdio(0)
	if err != nil {
		return nil, err
	}
	master := os.NewFile(uintptr(fd), "terminal")
	defer master.Close()
	if <-p.Ready(); p.StartErr() != nil {
		return nil, p.StartErr()
	}
	trip, err := echo(master)
	p.Signal(int(unix.SIGKILL))
	<-p.Done()
	return []float64{trip}, err
}

// peerEcho gives the command a terminal of its own.
func peerEcho(ctx context.Context, argv []string) ([]float64, error) {
	fd, slaveFD, err := terminal.Open(terminal.Size{Rows: 24, Cols: 80})
	if err != nil {
		return nil, err
	}
	master, slave := os.NewFile(uintptr(fd), "terminal"), os.NewFile(uintptr(slaveFD), "slave")
	defer master.Close()
	defer slave.Close()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	trip, err := echo(master)
	// Ctrl-D ends it: a killed runsc would leave its program in the sandbox.
	_, writeErr := master.Write([]byte{4})
	return []float64{trip}, errors.Join(err, writeErr, cmd.Wait())
}

// echo types lines and returns the median time to their return, in nanoseconds. The
// first waits for the program to be there, and is not counted.
func echo(master *os.File) (float64, error) {
	if err := quiet(master); err != nil {
		return 0, err
	}
	var trips []float64
	buf := make([]byte, 16)
	for i := range echoTrips + 1 {
		line := fmt.Sprintf("%03d\n", i)
		begin := time.Now()
		if _, err := io.WriteString(master, line); err != nil {
			return 0, err
		}
		want := []byte(line[:3] + "\r\n")
		if _, err := io.ReadFull(master, buf[:len(want)]); err != nil {
			return 0, err
		}
		if !bytes.Equal(buf[:len(want)], want) {
			return 0, fmt.Errorf("terminal: %q came back for %q", buf[:len(want)], line)
		}
		if i > 0 {
			trips = append(trips, float64(time.Since(begin)))
		}
	}
	slices.Sort(trips)
	return quantile(trips, 0.5), nil
}

// quiet turns the terminal's own echo off.
func quiet(master *os.File) error {
	fd := int(master.Fd())
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return os.NewSyscallError("TCGETS", err)
	}
	t.Lflag &^= unix.ECHO
	return os.NewSyscallError("TCSETS", unix.IoctlSetTermios(fd, unix.TCSETS, t))
}
