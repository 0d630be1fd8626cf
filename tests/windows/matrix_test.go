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
	lay := overlay(t)
	run := func(rows string) (string, error) {
		cmd := build("test", "-tags", "failpoint", "-count=1", "-timeout=5m", "-overlay", lay, "-exec", wineDir+"/wine64", "-run", rows, "./tests/windows/matrix")
		cmd.Env = append(cmd.Env, "MSB_MATRIX_OWNER="+dosPath(t, owner), "MSB_MATRIX_MSB="+dosPath(t, msb))
		return captured(cmd)
	}
	out, err := run("")
	if strings.Contains(out, notStarted) {
		for _, row := range failedRows(out) {
			t.Logf("again, since wine did not start a process: %s", row)
			out, err = run(row)
			require.NoError(t, err, out)
		}
	}
	require.NoError(t, err, out)
	assert.Regexp(t, `(?m)^ok\s`, out)
}

// notStarted is what wine 8 says now and then instead of starting a process, one of
// hundreds: ERROR_INTERNAL_ERROR.
const notStarted = "Internal error."

// failedRows are patterns of the rows that failed, by which they can be run again.
func failedRows(out string) []string {
	var rows []string
	for _, m := range regexp.MustCompile(`--- FAIL: (\S+/\S+) \(`).FindAllStringSubmatch(out, -1) {
		if strings.Contains(out, "--- FAIL: "+m[1]+"/") {
			continue // it has rows of its own
		}
		parts := strings.Split(m[1], "/")
		for i, p := range parts {
			parts[i] = "^" + regexp.QuoteMeta(p) + "$"
		}
		rows = append(rows, strings.Join(parts, "/"))
	}
	return rows
}

func TestFailedRows(t *testing.T) {
	out := "--- FAIL: TestA (0.0s)\n    --- FAIL: TestA/and_killed (0.1s)\n        --- FAIL: TestA/and_killed/end.machine (0.2s)\n" +
		"--- PASS: TestB/x (0.1s)\n    --- FAIL: TestC/boot.begun (1s)\n"
	assert.Equal(t, []string{`^TestA$/^and_killed$/^end\.machine$`, `^TestC$/^boot\.begun$`}, failedRows(out))
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
