//go:build linux

// Package windows tests the Windows DLL, msb.exe and the packages behind them under
// wine: `make dll` has built them with mingw-w64. docs/platforms.md lists what wine
// does in another way than Windows.
package windows

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	root     = "../.."
	products = root + "/build/windows"
	compiler = "x86_64-w64-mingw32-gcc"
	wineDir  = "/usr/lib/wine"
)

// prefix is wine's directory for this run; reason says why there is none.
var prefix, reason string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if reason = missing(); reason == "" {
		defer stop()
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "wine:", err)
			return 1
		}
	}
	return m.Run()
}

// missing names what the tests need and is not there.
func missing() string {
	switch {
	case os.Getenv("MSB_TEST_LONG") != "1":
		return "needs MSB_TEST_LONG=1, as make test sets it: wine takes ten seconds to begin"
	case !exists(wineDir + "/wine64"):
		return "needs wine64: tools/install-deps test installs it"
	case !exists(products + "/microsandbox.dll"):
		return "needs the DLL: make dll"
	}
	if _, err := exec.LookPath(compiler); err != nil {
		return "needs " + compiler + ": tools/install-deps dll installs it"
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func needWine(t *testing.T) {
	t.Helper()
	if reason != "" {
		t.Skip(reason)
	}
}

// prepare makes a wine prefix with the shim, of a Windows 10, and builds the tests.
func prepare() (err error) {
	if prefix, err = os.MkdirTemp("", "msb-wine."); err != nil {
		return err
	}
	if err := output(wine("wineboot", "-i")); err != nil {
		return err
	}
	shim := filepath.Join(prefix, "drive_c/windows/system32/bcryptprimitives.dll")
	if err := output(exec.Command(compiler, "-O2", "-shared", "-o", shim, "shims/bcryptprimitives.c", "-ladvapi32")); err != nil {
		return err
	}
	if err := output(wine("reg", "add", `HKCU\Software\Wine`, "/v", "Version", "/d", "win10", "/f")); err != nil {
		return err
	}
	// Kept until the end: each test would start it anew, and wait for its end.
	server("-p").Run()
	sources, _ := filepath.Glob("c/*.c")
	args := []string{"-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-D__USE_MINGW_ANSI_STDIO=1",
		"-I" + products + "/include", "-o", products + "/win.exe"}
	args = append(append(args, sources...), products+"/libmicrosandbox.dll.a", "-static-libgcc")
	return output(exec.Command(compiler, args...))
}

// stop ends the processes of this prefix, and no other's.
func stop() {
	if prefix != "" {
		server("-k").Run()
		os.RemoveAll(prefix)
	}
}

// captured runs a command and returns what it said. Through a file: wine starts
// processes of its own, which go on for seconds with the streams that they got.
func captured(cmd *exec.Cmd) (string, error) {
	file, err := os.CreateTemp("", "msb-output.")
	if err != nil {
		return "", err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	err = cmd.Run()
	text, rerr := os.ReadFile(file.Name())
	if err == nil {
		err = rerr
	}
	return string(text), err
}

// output adds to an error what the command said.
func output(cmd *exec.Cmd) error {
	text, err := captured(cmd)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	return nil
}

func environment() []string {
	return append(os.Environ(), "WINEPREFIX="+prefix, "WINEDEBUG=-all", "PATH="+os.Getenv("PATH")+":"+wineDir)
}

// server runs the server of our prefix. Its streams are /dev/null: it goes on after us.
func server(args ...string) *exec.Cmd {
	cmd := exec.Command(wineDir+"/wineserver64", args...)
	cmd.Env = environment()
	return cmd
}

func wine(args ...string) *exec.Cmd { return wineUntil(context.Background(), args...) }

func wineUntil(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, wineDir+"/wine64", args...)
	cmd.Env = environment()
	return cmd
}

// dosPath is a path as programs under wine name it.
func dosPath(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return "Z:" + strings.ReplaceAll(abs, "/", `\`)
}
