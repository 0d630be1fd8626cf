// Package escape tries what a hostile program would try, in a sandbox and, as
// the control that shows that the attempt is a real one, outside of it on
// processes and files that the test made. The table in docs/threat-model.md
// names the probe behind each promise.
package escape

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestMain(m *testing.M) {
	harness.Main(m)
}

// guestProbes is where the probes lie in a sandbox.
const guestProbes = "/tmp/probes"

// built holds the compiled probes; they fit in memory.
var built struct {
	once sync.Once
	data []byte
	err  error
	log  string
}

// probes writes the compiled probes to a file of the test's own.
func probes(t testing.TB) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc and a static libc")
	}
	built.once.Do(func() {
		sources, _ := filepath.Glob("probes/*.c")
		out := filepath.Join(t.TempDir(), "probes")
		args := append([]string{"-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-static", "-o", out}, sources...)
		log, err := exec.Command(gcc, args...).CombinedOutput()
		built.log, built.err = string(log), err
		if err == nil {
			built.data, built.err = os.ReadFile(out)
		}
	})
	require.NoError(t, built.err, built.log)
	path := filepath.Join(t.TempDir(), "probes")
	require.NoError(t, os.WriteFile(path, built.data, 0o755))
	return path
}

// upload copies the probes into a sandbox.
func upload(t testing.TB, sb *core.Sandbox, path string) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	p := harness.Start(t, sb, core.ProcessOptions{
		Argv:  []string{"sh", "-c", "cat > " + guestProbes + " && chmod 755 " + guestProbes},
		Stdio: [3]core.Stdio{harness.FD(file), harness.Null, harness.Null},
	})
	p.Running()
	require.Equal(t, int32(0), p.End().ExitCode)
}

// answer is what a probe said: its line, with "status N" when it said nothing.
type answer string

func (a answer) reached() bool { return strings.HasPrefix(string(a), "reached: ") }

// outside runs a probe as a process of the host.
func outside(path string, args ...string) answer {
	ctx, cancel := context.WithTimeout(context.Background(), harness.Limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).Output()
	if len(out) == 0 && err != nil {
		return answer(err.Error())
	}
	return answer(strings.TrimSpace(string(out)))
}

// inside runs a probe in a sandbox, as its root.
func inside(t testing.TB, sb *core.Sandbox, args ...string) answer {
	t.Helper()
	return insideAs(t, sb, 0, args...)
}

// insideAs runs a probe as a user of the sandbox.
func insideAs(t testing.TB, sb *core.Sandbox, uid uint32, args ...string) answer {
	t.Helper()
	p := harness.Start(t, sb, core.ProcessOptions{
		Argv: append([]string{guestProbes}, args...), UID: uid, GID: uid, Stdio: [3]core.Stdio{harness.Null, harness.Pipe, harness.Null},
	})
	data, err := io.ReadAll(p.Out)
	require.NoError(t, err)
	out, outcome := string(data), p.Running().End()
	if out == "" {
		return answer(strings.TrimSpace(strings.Join([]string{"no answer:", outcomeText(outcome)}, " ")))
	}
	return answer(strings.TrimSpace(out))
}
