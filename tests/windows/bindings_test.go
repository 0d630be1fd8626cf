//go:build linux

package windows

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Where `make windows-interpreters` puts node.exe. No registry that the targets use has
// CPython for Windows: whoever has one names its python.exe.
const (
	nodeProgram    = root + "/build/windows-test/node.exe"
	pythonVariable = "MSB_TEST_WINDOWS_PYTHON"
)

// bindingLimit bounds the tests of one binding, which take twenty seconds.
const bindingLimit = 5 * time.Minute

// piped is captured for Python, which takes none of wine's files and no NUL for a stream,
// while Node takes no pipe for stderr.
func piped(cmd *exec.Cmd) (string, error) {
	var text strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(""), &text, &text
	cmd.WaitDelay = 10 * time.Second // for processes of wine's own
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return text.String(), err
}

// unpackedWheel is the wheel for Windows as pip would lay it out, with the DLL inside.
func unpackedWheel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("python3", "-c", "import sys, wheel_backend as w, zipfile; d = sys.argv[1]; zipfile.ZipFile(d + '/' + w.build_wheel(d)).extractall(d)", dir)
	build.Env = append(os.Environ(), "MSB_WHEEL_PLATFORM=windows", "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH="+root+"/bindings/python/_backend")
	require.NoError(t, output(build))
	return dir
}

// The bindings' own tests for Windows, run by real interpreters.
func TestBindings(t *testing.T) {
	needWine(t)
	for _, b := range []struct {
		name, program, from, tests, ended string
		environment                       []string
		run                               func(*exec.Cmd) (string, error)
	}{
		{"python", os.Getenv(pythonVariable), pythonVariable + " names it", root + "/bindings/python/tests/windows", "\nOK", []string{
			"PYTHONPATH=" + dosPath(t, unpackedWheel(t)), "PYTHONUNBUFFERED=1", "PYTHONDEVMODE=1",
		}, piped},
		{"node", nodeProgram, "make windows-interpreters fetches it", root + "/bindings/node/test/windows/windows.test.js", "\n# fail 0", []string{
			"MSB_NODE_ADDON=" + dosPath(t, products+"/microsandbox.node"),
		}, captured},
	} {
		t.Run(b.name, func(t *testing.T) {
			if !exists(b.program) {
				t.Skipf("needs %s for Windows: %s", b.name, b.from)
			}
			ctx, cancel := context.WithTimeout(context.Background(), bindingLimit)
			defer cancel()
			cmd := wineUntil(ctx, dosPath(t, b.program), dosPath(t, b.tests))
			cmd.Env = append(append(cmd.Env, "MSB_TEST_GUEST="+dosPath(t, products+"/win.exe")), b.environment...)
			out, err := b.run(cmd)
			require.NoError(t, err, out)
			require.Contains(t, strings.ReplaceAll(out, "\r", ""), b.ended)
		})
	}
}
