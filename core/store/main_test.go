//go:build linux

package store

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/process"
)

// TestMain is also a process that works on a state directory and dies or waits
// where the test wants it.
func TestMain(m *testing.M) {
	if step := os.Getenv("MSB_STORE_STEP"); step != "" {
		act(step, os.Getenv("MSB_STORE_DIR"), os.Getenv("MSB_STORE_NAME"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func act(step, dir, name string) {
	root, err := OpenRoot(dir)
	check(err)
	self, err := process.Self()
	check(err)
	rec := Record{Name: name, Supervisor: self}
	switch step {
	case "mkdir": // an empty directory under its temporary name
		temp, err := tempName(newPrefix, key(name))
		check(err)
		check(os.Mkdir(filepath.Join(root.dir.Name(), temp), 0o700))
	case "prepared": // complete, but not yet under its name
		temp, err := tempName(newPrefix, key(name))
		check(err)
		_, err = root.prepare(temp, rec)
		check(err)
	case "claimed", "contend", "hold":
		claim, err := root.Claim(rec)
		if err != nil && step == "contend" {
			fmt.Println("lost", err)
			return
		}
		check(err)
		check(os.WriteFile(filepath.Join(claim.Dir(), "left"), []byte("x"), 0o600))
		check(os.Mkdir(filepath.Join(claim.Dir(), "readonly"), 0o500))
	case "lent": // killed while a child of it, which has not executed yet, has the lock still
		claim, err := root.Claim(rec)
		check(err)
		child := exec.Command("sleep", "0.3")
		child.ExtraFiles = []*os.File{claim.lock}
		check(child.Start())
	case "discarding": // renamed away, not yet deleted
		_, err := root.Claim(rec)
		check(err)
		temp, err := tempName(delPrefix, key(name))
		check(err)
		check(os.Rename(filepath.Join(root.dir.Name(), key(name)), filepath.Join(root.dir.Name(), temp)))
	}
	if step == "forked" { // as a supervisor that has forked an engine
		child := actor("unnamed", dir, name)
		child.Args, child.Stdin = os.Args, os.Stdin
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
		out, err := child.StdoutPipe()
		check(err)
		check(child.Start())
		_, err = out.Read(make([]byte, 8)) // it has come to the step
		check(err)
		step = "unnamed"
	}
	fmt.Println("won")
	if step == "hold" || step == "contend" || step == "unnamed" {
		os.Stdin.Read(make([]byte, 1)) // until the test lets go
		return
	}
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func actor(step, dir, name string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "MSB_STORE_STEP="+step, "MSB_STORE_DIR="+dir, "MSB_STORE_NAME="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// die runs a process that dies of SIGKILL at a step.
func die(t *testing.T, step, dir, name string) {
	t.Helper()
	out, err := actor(step, dir, name).Output()
	require.ErrorContains(t, err, "killed", string(out))
}

// holder is a living process that holds a name until it is released.
type holder struct {
	cmd     *exec.Cmd
	release func()
}

func hold(t *testing.T, dir, name string) *holder {
	t.Helper()
	cmd := actor("hold", dir, name)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	buf := make([]byte, 4)
	_, err = out.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "won\n", string(buf))
	h := &holder{cmd: cmd, release: func() {
		in.Close()
		cmd.Wait()
	}}
	t.Cleanup(func() {
		cmd.Process.Kill()
		h.release()
	})
	return h
}

func newRoot(t *testing.T) *Root {
	t.Helper()
	root, err := OpenRoot(filepath.Join(t.TempDir(), "state"))
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	return root
}

// entryNames lists what is in the directory of sandboxes.
func entryNames(t *testing.T, r *Root) []string {
	t.Helper()
	names := []string{}
	files, err := os.ReadDir(r.dir.Name())
	require.NoError(t, err)
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// oddNames are names with every byte that a name may have, and some that it may
// not: here they are only bytes.
func oddNames() []string {
	names := []string{"..", "", "a/b", strings.Repeat("x", 5000), ".new-1-1-a", lockName, recordName}
	for b := range 256 {
		names = append(names, string([]byte{byte(b)}))
	}
	return names
}
