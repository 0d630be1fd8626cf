//go:build linux

package windows

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// build is one that the Go tool makes for Windows, with failpoints.
func build(args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(environment(), "GOOS=windows", "CGO_ENABLED=0", "GOENV=off", "GOFLAGS=-buildvcs=false")
	return cmd
}

// The crash matrix, as programs of Windows all of it.
func TestMatrix(t *testing.T) {
	needWine(t)
	dir := t.TempDir()
	owner, msb := filepath.Join(dir, "owner.exe"), filepath.Join(dir, "msb.exe")
	require.NoError(t, output(build("build", "-tags", "failpoint", "-o", owner, "./tests/matrix/owner")))
	require.NoError(t, output(build("build", "-tags", "failpoint", "-ldflags", "-s -w", "-o", msb, "./cmd/msb")))
	cmd := build("test", "-tags", "failpoint", "-count=1", "-timeout=5m", "-overlay", overlay(t), "-exec", wineDir+"/wine64", "./tests/windows/matrix")
	cmd.Env = append(cmd.Env, "MSB_MATRIX_OWNER="+dosPath(t, owner), "MSB_MATRIX_MSB="+dosPath(t, msb))
	out, err := captured(cmd)
	require.NoError(t, err, out)
	assert.Regexp(t, `(?m)^ok\s`, out)
}

// otherwise are the steps that are not in the matrix: those of pools, which Windows has
// not, and one that `msb rm` passes, which no owner is there for.
var otherwise = []string{"adopt.begun", "adopt.named", "adopt.recorded", "take.adopted", "remove.claimed"}

// Each step of what is built for Windows is in the matrix.
func TestMatrixHasEachStep(t *testing.T) {
	steps, err := os.ReadFile("matrix/steps_windows_test.go")
	require.NoError(t, err)
	point := regexp.MustCompile(`failpoint\.Point\("([\w.]+)"\)`)
	seen := 0
	err = filepath.WalkDir(root+"/core", func(path string, _ os.DirEntry, err error) error {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_linux.go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range point.FindAllStringSubmatch(string(text), -1) {
			seen++
			if !slices.Contains(otherwise, m[1]) {
				assert.Contains(t, string(steps), `"`+m[1]+`"`, path)
			}
		}
		return err
	})
	require.NoError(t, err)
	assert.Greater(t, seen, 20)
}
