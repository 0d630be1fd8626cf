//go:build profile

// Command profile shows where the time of one sandbox goes, from create over the
// first output of a program to closed: when each step was reached, how long it
// took, and its share, as medians over several lives. `make profile` builds it, and
// the msb that it starts, with time stamps at the steps; products have none.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

func main() {
	lives := flag.Int("runs", 20, "lives to measure")
	msb := flag.String("msb", "", "the msb to start, built with the tag profile")
	flag.Parse()
	if *lives < 1 || *msb == "" {
		fmt.Fprintln(os.Stderr, "profile: needs -msb PATH and at least one run")
		os.Exit(2)
	}
	if err := run(*msb, *lives); err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

func run(msb string, lives int) error {
	scratch, err := os.MkdirTemp("", "msb-profile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	root, err := makeRoot(scratch)
	if err != nil {
		return err
	}
	state := filepath.Join(scratch, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(state, failpoint.TraceName), nil, 0o600); err != nil {
		return err
	}
	failpoint.Arm(state)
	var all []timeline
	for n := range lives + 1 {
		if err := live(msb, state, root); err != nil {
			return err
		}
		line, err := read(state)
		if err != nil {
			return err
		}
		if n > 0 { // the first fills the page cache
			all = append(all, line)
		}
	}
	printTable(os.Stdout, all)
	return nil
}

// live is one life of a sandbox with one program.
func live(msb, state, root string) error {
	failpoint.Mark("create called")
	sb, err := core.Create(core.Options{
		MsbPath: msb, State: store.Location{Dir: state}, Root: image.Root{Kind: image.EROFS, Path: root},
	})
	if err != nil {
		return err
	}
	defer sb.Close()
	p, err := sb.Start(core.ProcessOptions{
		Argv: []string{"/bin/echo", "hi"}, Stdio: [3]core.Stdio{1: {Kind: core.StdioPipe}},
	})
	if err != nil {
		return err
	}
	defer p.Close()
	fd, err := p.Stdio(1)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	buf := make([]byte, 16)
	if n, err := unix.Read(fd, buf); err != nil || n == 0 {
		return fmt.Errorf("no output: %v: %v", err, sb.StartErr())
	}
	failpoint.Mark("first output")
	<-p.Done()
	failpoint.Mark("outcome")
	sb.Close()
	<-sb.Done()
	failpoint.Mark("closed")
	return nil
}

// makeRoot makes an EROFS image with a static busybox.
func makeRoot(scratch string) (string, error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return "", fmt.Errorf("%w: install the package busybox-static", err)
	}
	dir, img := filepath.Join(scratch, "root"), filepath.Join(scratch, "root.erofs")
	for _, d := range []string{"bin", "dev", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return "", err
		}
	}
	if err := copyFile(busybox, filepath.Join(dir, "bin", "echo")); err != nil {
		return "", err
	}
	out, err := exec.Command("mkfs.erofs", "-T0", "--all-root", "-E", "noinline_data", img, dir).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("mkfs.erofs: %w: %s", err, out)
	}
	return img, nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Close()
	}
	return err
}

func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }
