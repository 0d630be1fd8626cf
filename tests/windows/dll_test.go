//go:build linux

package windows

import (
	"context"
	"debug/pe"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testLimit bounds each test of the DLL: the longest takes six seconds.
const testLimit = 90 * time.Second

// The test program runs each of its tests as a process of its own, with a state
// directory of its own.
func TestDLL(t *testing.T) {
	needWine(t)
	program := dosPath(t, products+"/win.exe")
	list, err := captured(wine(program, "list"))
	require.NoError(t, err)
	names := strings.Fields(list)
	require.Greater(t, len(names), 20)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), testLimit)
			defer cancel()
			run := func() (string, error) { return captured(wineUntil(ctx, program, name, dosPath(t, t.TempDir()))) }
			out, err := run()
			if strings.Contains(out, notStarted) {
				t.Logf("again, since wine did not start a process: %s", out)
				out, err = run()
			}
			assert.NoError(t, err)
			assert.Empty(t, out, "the library prints nothing")
		})
	}
}

// listed are the functions that the library exports on other systems.
func listed(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(root + "/capi/libmicrosandbox.map")
	require.NoError(t, err)
	names := regexp.MustCompile(`msb_\w+`).FindAllString(string(text), -1)
	slices.Sort(names)
	return names
}

func TestExports(t *testing.T) {
	needWine(t)
	out, err := exec.Command("x86_64-w64-mingw32-objdump", "-p", products+"/microsandbox.dll").Output()
	require.NoError(t, err)
	_, table, found := strings.Cut(string(out), "[Ordinal/Name Pointer] Table")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	var names []string
	for _, line := range strings.Split(table, "\n")[1:] {
		fields := strings.Fields(line)
		if len(fields) > 1 {
			names = append(names, fields[len(fields)-1])
		}
	}
	slices.Sort(names)
	assert.Equal(t, listed(t), names)
}

// Nothing but the system's own libraries is needed, also not the compiler's.
func TestImports(t *testing.T) {
	needWine(t)
	for _, name := range []string{"microsandbox.dll", "msb.exe"} {
		file, err := pe.Open(filepath.Join(products, name))
		require.NoError(t, err)
		defer file.Close()
		libraries, err := file.ImportedLibraries()
		require.NoError(t, err)
		symbols, err := file.ImportedSymbols()
		require.NoError(t, err)
		for _, s := range symbols {
			_, library, _ := strings.Cut(s, ":")
			libraries = append(libraries, library)
		}
		for _, l := range libraries {
			assert.Contains(t, []string{"kernel32.dll", "msvcrt.dll"}, strings.ToLower(l), name)
		}
	}
}

// The directory can be copied as a whole: pkg-config finds the header and the library
// in it, and a C program compiles.
func TestPackage(t *testing.T) {
	needWine(t)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "sdk"), os.DirFS(products)))
	cmd := exec.Command("pkg-config", "--cflags", "--libs", "microsandbox")
	cmd.Env = append(os.Environ(), "PKG_CONFIG_PATH="+filepath.Join(dir, "sdk"))
	flags, err := cmd.Output()
	require.NoError(t, err)
	source := filepath.Join(dir, "x.c")
	require.NoError(t, os.WriteFile(source, []byte("#include <microsandbox.h>\nint main(void) { return msb_version() != MSB_VERSION; }\n"), 0o600))
	program := filepath.Join(dir, "sdk", "x.exe")
	for _, standard := range []string{"-std=c99", "-std=c17"} {
		args := []string{standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", source, "-o", program}
		require.NoError(t, output(exec.Command(compiler, append(args, strings.Fields(string(flags))...)...)))
	}
	assert.NoError(t, output(wine(dosPath(t, program))), "the DLL beside the program is found")
}
