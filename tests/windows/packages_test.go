//go:build linux

package windows

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// packages have tests that run on Windows.
var packages = []string{
	"core/control", "core/disklock", "core/fault", "core/mounts", "core/store", "core/winsys",
}

// Wine 8 has no FileDispositionInformationEx, by which package os deletes: a copy of
// the file that does it, with the fallback for older systems on, takes its place.
func overlay(t *testing.T) string {
	t.Helper()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	source := filepath.Join(strings.TrimSpace(string(goroot)), "src/internal/syscall/windows/at_windows.go")
	text, err := os.ReadFile(source)
	require.NoError(t, err)
	const variable = "var TestDeleteatFallback bool"
	require.Contains(t, string(text), variable)
	dir := t.TempDir()
	changed := filepath.Join(dir, "at_windows.go")
	require.NoError(t, os.WriteFile(changed, []byte(strings.Replace(string(text), variable, "var TestDeleteatFallback = true", 1)), 0o600))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	require.NoError(t, err)
	path := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(path, list, 0o600))
	return path
}

func TestPackages(t *testing.T) {
	needWine(t)
	args := []string{"test", "-count=1", "-timeout=3m", "-p=1", "-overlay", overlay(t), "-exec", wineDir + "/wine64"}
	for _, p := range packages {
		args = append(args, "./"+p)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(environment(), "GOOS=windows", "CGO_ENABLED=0", "GOENV=off", "GOFLAGS=-buildvcs=false")
	out, err := captured(cmd)
	require.NoError(t, err, out)
	for _, p := range packages {
		assert.Regexp(t, `(?m)^ok\s+\S+/`+p+`\s+[0-9.]+s`, out, "with tests, all of which pass")
	}
}
