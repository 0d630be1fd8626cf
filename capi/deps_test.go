package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/libmicrosandbox/microsandbox"

// dependencies lists all packages that pkg is built from, without the standard library.
func dependencies(t *testing.T, pkg string) []string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", module+"/"+pkg)
	out, err := list.Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}

// The engine lives in msb: a host that loads the library gets none of it.
func TestLibraryIsBuiltFromLittle(t *testing.T) {
	for _, pkg := range []string{"capi", "core"} {
		list := dependencies(t, pkg)
		assert.Contains(t, list, module+"/core/handle", "the list is a real one")
		for _, dep := range list {
			own := dep == module || strings.HasPrefix(dep, module+"/")
			assert.True(t, own || strings.HasPrefix(dep, "golang.org/x/sys/"), "%s depends on %s", pkg, dep)
			assert.False(t, strings.HasPrefix(dep, module+"/core/runtime"), "%s depends on the supervisor: %s", pkg, dep)
			assert.False(t, strings.HasPrefix(dep, module+"/core/engine"), "%s depends on an engine: %s", pkg, dep)
		}
	}
}
