// Package header tests the public header by itself: it compiles in every
// language version that hosts use, and its layout and numbers are the ones
// that the bindings and the Go side count on.
package header

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	root    = "../.."
	include = root + "/include"
)

var warnings = []string{"-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", include}

// compile compiles source in one language version without producing anything.
func compile(t *testing.T, compiler, language, standard, source string, more ...string) ([]byte, error) {
	t.Helper()
	args := append([]string{"-x", language, "-std=" + standard, "-fsyntax-only"}, warnings...)
	args = append(append(args, more...), source)
	return exec.Command(compiler, args...).CombinedOutput()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// parts returns the headers that microsandbox.h includes, in its order.
func parts(t *testing.T) []string {
	t.Helper()
	main, err := os.ReadFile(include + "/microsandbox.h")
	require.NoError(t, err)
	var found []string
	for _, m := range regexp.MustCompile(`(?m)^#include "(microsandbox/\w+\.h)"`).FindAllStringSubmatch(string(main), -1) {
		found = append(found, m[1])
	}
	return found
}

// wholeHeader returns the text of all parts.
func wholeHeader(t *testing.T) string {
	t.Helper()
	var whole strings.Builder
	for _, part := range parts(t) {
		text, err := os.ReadFile(filepath.Join(include, part))
		require.NoError(t, err)
		whole.Write(text)
	}
	return whole.String()
}

// use includes the header twice and spells every initialiser.
const use = `
#include "microsandbox.h"
#include "microsandbox.h"
int use(void);
int use(void)
{
	msb_error error = MSB_ERROR_INIT;
	msb_sandbox_options sandbox = MSB_SANDBOX_OPTIONS_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_process_options process = MSB_PROCESS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle handle = 0;
	return (int)(error.size + sandbox.size + info.size + process.size + outcome.size + handle) + MSB_VERSION +
	       (msb_wait(handle, 0, &outcome, &error) == MSB_OK);
}
`

var standards = []struct{ compiler, language, standard string }{
	{"gcc", "c", "c99"}, {"gcc", "c", "c11"}, {"gcc", "c", "c17"}, {"gcc", "c", "c2x"}, {"gcc", "c", "gnu17"},
	{"g++", "c++", "c++98"}, {"g++", "c++", "c++11"}, {"g++", "c++", "c++14"},
	{"g++", "c++", "c++17"}, {"g++", "c++", "c++20"}, {"g++", "c++", "c++23"},
	{"clang", "c", "c99"}, {"clang", "c", "c2x"}, {"clang++", "c++", "c++98"}, {"clang++", "c++", "c++20"},
}

func TestHeaderCompilesWithoutWarnings(t *testing.T) {
	good := write(t, "use.c", use)
	bad := write(t, "bad.c", use+"\nint unused_argument(int x);\nint unused_argument(int x) { return 0; }\n")
	for _, s := range standards {
		t.Run(s.compiler+" "+s.standard, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(s.compiler); err != nil {
				t.Skipf("%s is not installed", s.compiler)
			}
			out, err := compile(t, s.compiler, s.language, s.standard, good)
			assert.NoError(t, err, "%s", out)
			_, err = compile(t, s.compiler, s.language, s.standard, bad)
			assert.Error(t, err, "the warnings are in force")
		})
	}
}

// No part is left out of microsandbox.h, none is too long to read, and each is
// complete by itself: no order of inclusion matters.
func TestEachPartCompilesAlone(t *testing.T) {
	files, err := filepath.Glob(include + "/microsandbox/*.h")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		names = append(names, "microsandbox/"+filepath.Base(file))
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.LessOrEqual(t, bytes.Count(text, []byte("\n")), 600, file)
	}
	require.ElementsMatch(t, names, parts(t), "microsandbox.h includes every part once")
	for _, name := range names {
		alone := write(t, "alone.c", fmt.Sprintf("#include %q\n#include %q\n", name, name))
		out, err := compile(t, "gcc", "c", "c99", alone)
		assert.NoError(t, err, "%s: %s", name, out)
		out, err = compile(t, "g++", "c++", "c++98", alone)
		assert.NoError(t, err, "%s: %s", name, out)
	}
	lacking := write(t, "lacking.c", "msb_result lacks_its_types(msb_handle handle);\n")
	_, err = compile(t, "gcc", "c", "c99", lacking)
	assert.Error(t, err, "a part without its includes is noticed")
}

// Old-style prototypes and hidden padding would differ between compilers.
func TestHeaderIsStrictC(t *testing.T) {
	out, err := compile(t, "gcc", "c", "c99", write(t, "use.c", use), "-Wstrict-prototypes", "-Wpadded", "-Wundef")
	assert.NoError(t, err, "%s", out)
	padded := write(t, "padded.c", use+"\nstruct padded { char c; long l; };\n")
	_, err = compile(t, "gcc", "c", "c99", padded, "-Wpadded")
	assert.Error(t, err, "padding is noticed")
}

// The header defines nothing: two units that include it link.
func TestTwoUnitsLink(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.c": "#include \"microsandbox.h\"\nint b(void);\nint main(void) { return b(); }\n",
		"b.c": "#include \"microsandbox.h\"\nint b(void);\nint b(void) { return MSB_OK; }\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	args := append(warnings[:len(warnings):len(warnings)], "-std=c99", "-o", filepath.Join(dir, "two"),
		filepath.Join(dir, "a.c"), filepath.Join(dir, "b.c"))
	out, err := exec.Command("gcc", args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.NoError(t, exec.Command(filepath.Join(dir, "two")).Run())
}

// The shim is held to the same rules as the header. cgo's own generated code
// is not, so the flags are not those of the build.
func TestShimCompilesWithoutWarnings(t *testing.T) {
	dir := t.TempDir()
	generate := exec.Command("go", "tool", "cgo", "-objdir", dir, "--",
		"-I../include", "-D_GNU_SOURCE", "export.go", "export_sandbox.go", "export_store.go", "export_metrics.go", "export_logs.go", "export_process.go", "export_handle.go", "convert.go")
	generate.Dir = root + "/capi"
	generate.Env = append(os.Environ(), "CGO_ENABLED=1", "GOENV=off")
	out, err := generate.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, file := range []string{"shim.c", "check.c", "host_linux.c", "sigchld_linux.c"} {
		out, err := compile(t, "gcc", "c", "c99", root+"/capi/"+file, "-D_GNU_SOURCE", "-isystem", dir, "-I", root+"/capi")
		assert.NoError(t, err, "%s", out)
	}
}
