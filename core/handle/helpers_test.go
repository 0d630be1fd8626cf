package handle_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// readFD reads everything and closes the descriptor.
func readFD(fd int) string {
	f := os.NewFile(uintptr(fd), "pipe")
	defer f.Close()
	data, _ := io.ReadAll(f)
	return string(data)
}

// self runs one test of this binary in a process of its own, which may be killed: its files
// are then removed with ours.
func self(t testing.TB, test string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.count=1")
	cmd.Env = append(append(os.Environ(), "TMPDIR="+t.TempDir()), env...)
	return cmd
}

// state is the letter of a process's state in /proc: T when stopped.
func state(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}
