// Package arm64 tests msb for linux/arm64 under emulation: see tools/test-arm64.
package arm64

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// product is a file that was built for arm64.
func product(t *testing.T, path string) string {
	t.Helper()
	dir := os.Getenv("MSB_TEST_ARM64")
	if dir == "" {
		t.Skip("needs a kernel that runs arm64 programs: make test-arm64")
	}
	return filepath.Join(dir, path)
}

func TestProductsAreForTheProcessor(t *testing.T) {
	for path, static := range map[string]bool{"bin/msb": true, "lib/libmicrosandbox.so": false} {
		f, err := elf.Open(product(t, path))
		require.NoError(t, err)
		defer f.Close()
		assert.Equal(t, elf.EM_AARCH64, f.Machine, path)
		needed, err := f.ImportedLibraries()
		require.NoError(t, err)
		if static {
			assert.Empty(t, needed, path)
		}
	}
}

func command(t *testing.T, msb string, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.Command(msb, args...)
	cmd.Env = append(os.Environ(), "MSB_HOME="+filepath.Join(t.TempDir(), "state"))
	text, err := cmd.CombinedOutput()
	if err != nil {
		require.IsType(t, &exec.ExitError{}, err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func TestVersionIsThatOfTheNativeOne(t *testing.T) {
	ours, code := command(t, product(t, "bin/msb"), "version")
	require.Zero(t, code)
	native, code := command(t, harness.Binary(t), "version")
	require.Zero(t, code)
	assert.Equal(t, native, ours)
}

// TestEngineThatCannotBoot: an emulator has none of what the engine needs. The
// command says so in a line, and the supervisor, which did start, leaves nothing.
func TestEngineThatCannotBoot(t *testing.T) {
	msb := product(t, "bin/msb")
	state := filepath.Join(t.TempDir(), "state")
	out, code := command(t, msb, "run", "--state", state, "--", "true")
	t.Logf("%s", out)
	assert.Equal(t, 125, code)
	assert.Equal(t, 1, strings.Count(out, "\n"))
	assert.True(t, strings.HasPrefix(out, "msb: "), out)
	assert.Contains(t, out, "gvisor")
	out, code = command(t, msb, "audit", "--state", state)
	assert.Zero(t, code)
	assert.Empty(t, out)
	assert.Empty(t, harness.Entries(t, state))
}
