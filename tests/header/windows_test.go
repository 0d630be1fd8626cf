package header

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The layout for Windows is that of Linux, so that one record holds for both, and for
// the bindings: a compiler for Windows checks every number of it.
func TestLayoutOnWindows(t *testing.T) {
	const compiler = "x86_64-w64-mingw32-gcc"
	if _, err := exec.LookPath(compiler); err != nil {
		t.Skip("needs " + compiler + ": tools/install-deps dll installs it")
	}
	text, err := os.ReadFile("layout.json")
	require.NoError(t, err)
	var l layout
	require.NoError(t, json.Unmarshal(text, &l))
	var c strings.Builder
	c.WriteString("#include \"microsandbox.h\"\n#include <stddef.h>\n#define SAME(a, b) _Static_assert((a) == (b), #a)\n")
	for name, value := range l.Constants {
		fmt.Fprintf(&c, "SAME(%s, %d);\n", name, value)
	}
	for name, s := range l.Structs {
		fmt.Fprintf(&c, "SAME(sizeof(%s), %d);\nSAME(_Alignof(%s), %d);\n", name, s.Size, name, s.Align)
		for f, at := range s.Fields {
			fmt.Fprintf(&c, "SAME(offsetof(%s, %s), %d);\nSAME(sizeof(((%s *)0)->%s), %d);\n", name, f, at.Offset, name, f, at.Size)
		}
	}
	for _, f := range l.Functions {
		fmt.Fprintf(&c, "void *use_%s = (void *)%s;\n", f, f)
	}
	source := write(t, "windows.c", c.String())
	out, err := exec.Command(compiler, "-std=c11", "-Wall", "-Werror", "-I"+root+"/include", "-fsyntax-only", source).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
