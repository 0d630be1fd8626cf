//go:build linux

package metrics

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/process"
)

// helperEnv makes the test binary one of the helper processes.
const helperEnv = "MSB_METRICS_TEST_HELPER"

// order is what a helper is told on its standard input, one line of JSON.
type order struct {
	Do, Dir, Name string
	Token         Token
}

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) == "" {
		os.Exit(m.Run())
	}
	if err := help(); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// help does what it is told, says so, and stays until its standard input ends.
func help() error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return err
	}
	self, err := process.Self()
	if err != nil {
		return err
	}
	if o.Do == "full" {
		return fillFileSystem(o.Dir, self)
	}
	if o.Do == "small files" {
		return smallFiles(o.Dir, self)
	}
	reg, err := Open(o.Dir, 0)
	if err != nil {
		return err
	}
	answer := any("done")
	switch o.Do {
	case "churn":
		go churn(reg, self, 0, func() bool { return false })
	case "reserve":
		answer, err = reg.Reserve(o.Name, "id-"+o.Name, Limits{}, self)
	case "activate":
		var w *Writer
		if w, err = reg.Activate(o.Token, self); err == nil {
			err = w.Write(patterned(7))
		}
	case "write":
		var w *Writer
		if w, err = reg.Activate(o.Token, self); err == nil {
			go func() {
				for n := uint64(1); w.Write(patterned(n)) == nil; n++ {
				}
			}()
		}
	}
	if err != nil {
		return err
	}
	text, _ := json.Marshal(answer)
	fmt.Println(string(text))
	_, err = io.Copy(io.Discard, in)
	return err
}

// helper is another process.
type helper struct {
	cmd    *exec.Cmd
	answer []byte
}

func startHelper(t *testing.T, o order) *helper {
	t.Helper()
	return startHelperIn(t, o, nil)
}

func startHelperIn(t *testing.T, o order, attr *syscall.SysProcAttr) *helper {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = attr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	h := &helper{cmd: cmd}
	t.Cleanup(func() { h.reap() })
	require.NoError(t, json.NewEncoder(in).Encode(o))
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err, "helper said %q", line)
	require.NotContains(t, string(line), "error:")
	h.answer = line
	return h
}

// kill ends the helper, which stays a zombie until reap.
func (h *helper) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, h.cmd.Process.Kill())
	// WNOWAIT: wait for the end without reaping.
	require.NoError(t, waitExited(h.cmd.Process.Pid))
}

func (h *helper) reap() {
	h.cmd.Process.Kill()
	h.cmd.Wait()
}

func open(t *testing.T, dir string, capacity int) *Registry {
	t.Helper()
	reg, err := Open(dir, capacity)
	require.NoError(t, err)
	t.Cleanup(func() { reg.Close() })
	return reg
}

func self(t *testing.T) Process {
	t.Helper()
	p, err := process.Self()
	require.NoError(t, err)
	return p
}

// ended is a process that existed and does not.
func ended(t *testing.T) Process {
	t.Helper()
	h := startHelper(t, order{Do: "nothing", Dir: t.TempDir()})
	p, err := process.Of(h.cmd.Process.Pid)
	require.NoError(t, err)
	require.True(t, p.Alive())
	h.kill(t)
	require.False(t, p.Alive(), "a zombie has ended")
	h.reap()
	require.False(t, p.Alive())
	return p
}

func reserve(t *testing.T, reg *Registry, name string) Token {
	t.Helper()
	token, err := reg.Reserve(name, "id-"+name, Limits{MemoryBytes: 1 << 30, OverlayBytes: 1 << 20}, self(t))
	require.NoError(t, err)
	return token
}

func activate(t *testing.T, reg *Registry, name string) (*Writer, Token) {
	t.Helper()
	token := reserve(t, reg, name)
	w, err := reg.Activate(token, self(t))
	require.NoError(t, err)
	t.Cleanup(func() { w.Release(false) })
	return w, token
}

func names(entries []Entry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Name)
	}
	return out
}

func requireCode(t *testing.T, err error, code fault.Code, contains string) {
	t.Helper()
	require.Error(t, err)
	var f *fault.Error
	require.True(t, errors.As(err, &f), "%v", err)
	require.Equal(t, code, f.Code, "%v", err)
	require.Contains(t, err.Error(), contains)
}
