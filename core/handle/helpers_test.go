package handle_test

import (
	"io"
	"os"
	"os/exec"
	"testing"
)

// readFD reads everything and closes the descriptor.
func readFD(fd int) string {
	f := os.NewFile(uintptr(fd), "pipe")
	defer f.Close()
	data, _ := io.ReadAll(f)
	return string(data)
}

// self runs one test of this binary in a process of its own.
func self(t testing.TB, test string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), env...)
	return cmd
}
