//go:build linux

package windows

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The packages of the library and msb.exe, with their tests, are vetted as they are
// compiled for Windows.
func TestVet(t *testing.T) {
	needWine(t)
	cmd := exec.Command("go", "vet", "./core", "./cmd/msb")
	cmd.Args = append(cmd.Args, vetted(t)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=windows", "CGO_ENABLED=0", "GOENV=off", "GOFLAGS=-buildvcs=false")
	require.NoError(t, output(cmd))
	cmd = exec.Command("go", "vet", "./capi")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=windows", "CGO_ENABLED=1", "CC="+compiler, "GOENV=off", "GOFLAGS=-buildvcs=false")
	require.NoError(t, output(cmd))
}

// vetted are our packages behind msb.exe.
func vetted(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "./cmd/msb")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=windows", "CGO_ENABLED=0", "GOENV=off", "GOFLAGS=-buildvcs=false")
	out, err := cmd.Output()
	require.NoError(t, err)
	var own []string
	for _, p := range strings.Fields(string(out)) {
		if strings.HasPrefix(p, "github.com/libmicrosandbox/") {
			own = append(own, p)
		}
	}
	return own
}
