// Package abi tests what the built library exports, and that it stays
// compatible with the recorded baseline.
package abi

import (
	"cmp"
	"debug/elf"
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

// library is the one of this tree, or that of another processor.
var library = cmp.Or(os.Getenv("MSB_TEST_LIBRARY"), root+"/build/lib") + "/libmicrosandbox.so"

const (
	root     = "../.."
	debug    = root + "/build/debug/libmicrosandbox.so"
	baseline = "microsandbox.abi"
	maxBytes = 8 << 20
)

func open(t *testing.T) *elf.File {
	t.Helper()
	f, err := elf.Open(library)
	require.NoError(t, err, "run `make lib` first")
	t.Cleanup(func() { f.Close() })
	return f
}

// names returns what a pattern's group matches in files, sorted.
func names(t *testing.T, files, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(files)
	require.NoError(t, err)
	var found []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			found = append(found, m[1])
		}
	}
	slices.Sort(found)
	return found
}

func TestExportsAreTheMapAndTheHeader(t *testing.T) {
	symbols, err := open(t).DynamicSymbols()
	require.NoError(t, err)
	var exported []string
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_SECTION { // arm64's linker lists some
			continue
		}
		if s.Section != elf.SHN_UNDEF && elf.ST_TYPE(s.Info) != elf.STT_OBJECT {
			exported = append(exported, s.Name)
			assert.Equal(t, "MICROSANDBOX_0", s.Version, s.Name)
			assert.Equal(t, elf.STT_FUNC, elf.ST_TYPE(s.Info), s.Name)
		}
		assert.False(t, s.Section != elf.SHN_UNDEF && elf.ST_TYPE(s.Info) == elf.STT_OBJECT && s.Name != "MICROSANDBOX_0",
			"%s is exported data", s.Name)
	}
	slices.Sort(exported)
	listed := names(t, root+"/capi/libmicrosandbox.map", `(?m)^\t\t(msb_\w+);$`)
	declared := names(t, root+"/include/microsandbox/*.h", `(?m)^MSB_API [\w *]*?(msb_\w+)\(`)
	assert.Equal(t, listed, exported)
	assert.Equal(t, declared, exported)
	assert.GreaterOrEqual(t, len(exported), 21)
}

func TestLibraryNamesAndNeeds(t *testing.T) {
	f := open(t)
	soname, err := f.DynString(elf.DT_SONAME)
	require.NoError(t, err)
	assert.Equal(t, []string{"libmicrosandbox.so.0"}, soname)
	needed, err := f.ImportedLibraries()
	require.NoError(t, err)
	for _, lib := range needed {
		assert.Contains(t, []string{"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}, lib)
	}
	real, err := filepath.EvalSymlinks(library)
	require.NoError(t, err)
	version := names(t, root+"/include/microsandbox/base.h", `#define MSB_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)`)
	assert.Len(t, version, 3)
	assert.Regexp(t, `^libmicrosandbox\.so\.\d+\.\d+\.\d+$`, filepath.Base(real))
	info, err := os.Stat(library)
	require.NoError(t, err)
	assert.LessOrEqual(t, info.Size(), int64(maxBytes), "stripped size in bytes")
	assert.Nil(t, f.Section(".symtab"), "the library is stripped")
}

// tool returns the path of a program of abigail-tools.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (package abigail-tools)", name)
	}
	return path
}

// describe writes the ABI of a library with debug information.
func describe(t *testing.T, lib string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "abi")
	text, err := exec.Command(tool(t, "abidw"), "--exported-interfaces-only", "--no-corpus-path", "--no-comp-dir-path",
		"--headers-dir", root+"/include", "--drop-private-types", "--no-show-locs", "--out-file", out, lib).CombinedOutput()
	require.NoError(t, err, "%s", text)
	return out
}

func compare(t *testing.T, old, new string) (string, error) {
	t.Helper()
	out, err := exec.Command(tool(t, "abidiff"), old, new).CombinedOutput()
	return string(out), err
}

func TestABIIsCompatibleWithTheBaseline(t *testing.T) {
	_, err := os.Stat(debug)
	require.NoError(t, err, "run `make lib-debug` first")
	now := describe(t, debug)
	if os.Getenv("MSB_UPDATE_ABI") != "" {
		text, err := os.ReadFile(now)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(baseline, text, 0o644))
	}
	diff, err := compare(t, baseline, now)
	assert.NoError(t, err, "%s\nif that is meant, run `make abi-update`", diff)
}

// The check above is worth something only if it notices changes.
func TestABIChangesAreNoticed(t *testing.T) {
	text, err := os.ReadFile(baseline)
	require.NoError(t, err)
	for name, change := range map[string][2]string{
		"removed function":  {"msb_try_wait", "msb_try_hold"},
		"grown struct":      {"name='msb_outcome' size-in-bits='384'", "name='msb_outcome' size-in-bits='448'"},
		"changed parameter": {"name='timeout_ms'/>", "name='timeout_ms'/><parameter type-id='type-id-1' name='more'/>"},
	} {
		changed := filepath.Join(t.TempDir(), "changed.abi")
		require.True(t, strings.Contains(string(text), change[0]), "%s: the baseline holds %q", name, change[0])
		require.NoError(t, os.WriteFile(changed, []byte(strings.ReplaceAll(string(text), change[0], change[1])), 0o600))
		_, err := compare(t, baseline, changed)
		assert.Error(t, err, name)
	}
}
