package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// buildWith builds a program that needs example.test/dep in the given version.
func buildWith(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module example.test/main\ngo 1.26\nrequire example.test/dep " + version +
			"\nreplace example.test/dep " + version + " => ./dep\n",
		"main.go":    "package main\n\nimport _ \"example.test/dep\"\n\nfunc main() {}\n",
		"dep/go.mod": "module example.test/dep\ngo 1.26\n",
		"dep/dep.go": "package dep\n",
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	cmd := exec.Command("go", "build", "-o", "program", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "CGO_ENABLED=0", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return filepath.Join(dir, "program")
}

func TestPinsMustAgree(t *testing.T) {
	a, same, other := buildWith(t, "v1.2.3"), buildWith(t, "v1.2.3"), buildWith(t, "v1.2.4")
	assert.NoError(t, samePin(a, same, "example.test/dep"))
	assert.ErrorContains(t, samePin(a, other, "example.test/dep"), "rebuild both")
	assert.ErrorContains(t, samePin(a, same, "example.test/none"), "does not contain example.test/none")
	assert.ErrorContains(t, samePin(a, filepath.Join(t.TempDir(), "missing"), "example.test/dep"), "run make bench")
}
