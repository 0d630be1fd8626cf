package enginetest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func (s Suite) StartErrors(t *testing.T) {
	root := Root(t)
	write := func(name, text string, mode os.FileMode) {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), mode))
	}
	write("bin/plain", "#!/bin/sh\n", 0o644)
	write("bin/text", "no program\n", 0o755)
	write("bin/empty", "", 0o755)
	write("bin/lost", "#!/no/such/interpreter\n", 0o755)
	write("bin/otherarch", "\x7fELF\x02\x01\x01"+strings.Repeat("\x00", 9)+"\x02\x00\xb7\x00"+strings.Repeat("\x00", 60), 0o755)
	require.NoError(t, os.Symlink("loop", filepath.Join(root, "bin/loop")))
	m := s.Boot(t, root)

	for _, c := range []struct {
		name, program, cwd string
		errno              unix.Errno
		stage              fault.Stage
	}{
		{"missing path", "/bin/none", "", unix.ENOENT, fault.StageExec},
		{"missing directory", "/none/none", "", unix.ENOENT, fault.StageExec},
		{"missing in PATH", "none", "", unix.ENOENT, fault.StageExec},
		{"below a file", "/bin/sh/none", "", unix.ENOTDIR, fault.StageExec},
		{"not executable", "/bin/plain", "", unix.EACCES, fault.StageExec},
		{"not executable in PATH", "plain", "", unix.EACCES, fault.StageExec},
		{"directory", "/bin", "", unix.EACCES, fault.StageExec},
		{"text", "/bin/text", "", unix.ENOEXEC, fault.StageExec},
		{"text in PATH", "text", "", unix.ENOEXEC, fault.StageExec},
		{"empty file", "/bin/empty", "", unix.ENOEXEC, fault.StageExec},
		{"another processor", "/bin/otherarch", "", unix.ENOEXEC, fault.StageExec},
		{"missing interpreter", "/bin/lost", "", unix.ENOENT, fault.StageExec},
		{"link loop", "/bin/loop", "", unix.ELOOP, fault.StageExec},
		{"long name", "/" + strings.Repeat("n", 300), "", unix.ENAMETOOLONG, fault.StageExec},
		{"empty name", "", "", unix.ENOENT, fault.StageExec},
		{"missing cwd", "true", "/none", unix.ENOENT, fault.StageCwd},
		{"cwd is a file", "true", "/bin/plain", unix.ENOTDIR, fault.StageCwd},
		{"cwd below a file", "true", "/bin/plain/x", unix.ENOTDIR, fault.StageCwd},
		{"cwd link loop", "true", "/bin/loop", unix.ELOOP, fault.StageCwd},
	} {
		for way, env := range s.Ways {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				p := engine.Program{Argv: []string{c.program, "x"}, Env: env, Cwd: c.cwd}
				_, err := Spawn(t, m, p)
				var e *fault.Error
				require.True(t, errors.As(err, &e), "%v", err)
				assert.Equal(t, fault.Exec, e.Code, e.Message)
				assert.Equal(t, c.errno, e.Errno, e.Message)
				assert.Equal(t, c.stage, e.Stage, e.Message)
			})
		}
	}
	require.Equal(t, "hi", Output(t, m, "echo", "hi"))
}

// A directory that its owner closed to everybody stays closed where the guest
// is not its owner.
func (s Suite) CwdWithoutPermission(t *testing.T) {
	root := Root(t)
	m := s.Boot(t, root)
	Output(t, m, "sh", "-c", "mkdir /closed && chmod 0 /closed")
	for _, env := range s.Ways {
		r, err := Spawn(t, m, engine.Program{Argv: []string{"pwd"}, Env: env, Cwd: "/closed"})
		require.NoError(t, err, "guest root has CAP_DAC_OVERRIDE")
		require.Equal(t, "/closed\n", r.Result().Out)
	}
}

func (s Suite) ExactBytes(t *testing.T) {
	m := s.Boot(t, Root(t))
	Output(t, m, "mkdir", "/d")
	r, err := Spawn(t, m, engine.Program{Argv: []string{"mkdir", "/d/\xff\xfe"}})
	require.NoError(t, err)
	require.Equal(t, syscall.WaitStatus(0), r.Result().Status)
	for _, c := range []struct {
		name string
		p    engine.Program
		want string
	}{
		{"argument", engine.Program{Argv: []string{"printf", "%s", "\xff\x80a\n"}}, "\xff\x80a\n"},
		{"utf-8 argument", engine.Program{Argv: []string{"printf", "%s", "\u2028<>&äé"}}, "\u2028<>&äé"},
		{"environment value", engine.Program{Argv: []string{"sh", "-c", "printf %s \"$X\""},
			Env: append([]string{"X=\xfe\xff"}, DefaultEnv...)}, "\xfe\xff"},
		{"cwd", engine.Program{Argv: []string{"pwd"}, Cwd: "/d/\xff\xfe"}, "/d/\xff\xfe\n"},
		{"empty arguments", engine.Program{Argv: []string{"printf", "<%s>", "", ""}}, "<><>"},
		{"duplicates kept in order", engine.Program{Argv: []string{"env"},
			Env: []string{"B=1", "A=2", "B=3", "PATH=/bin"}}, "B=1\nA=2\nB=3\nPATH=/bin\n"},
		{"no assignment", engine.Program{Argv: []string{"env"},
			Env: []string{"lonely", "PATH=/bin"}}, "lonely\nPATH=/bin\n"},
		{"no HOME is added", engine.Program{Argv: []string{"/bin/env"}, Env: []string{"A=1"}}, "A=1\n"},
		{"empty environment", engine.Program{Argv: []string{"/bin/env"}, Env: []string{}}, ""},
		{"relative program", engine.Program{Argv: []string{"./busybox", "echo", "x"}, Cwd: "/bin"}, "x\n"},
		{"relative PATH", engine.Program{Argv: []string{"echo", "y"}, Cwd: "/",
			Env: []string{"PATH=none:bin", "HOME=/"}}, "y\n"},
		{"empty PATH entry", engine.Program{Argv: []string{"echo", "z"}, Cwd: "/bin",
			Env: []string{"PATH=:/none", "HOME=/"}}, "z\n"},
		{"200 KB argument", engine.Program{Argv: []string{"sh", "-c", "printf %s \"$0$1\" | wc -c",
			strings.Repeat("a", 100000), strings.Repeat("\xff", 100000)}}, "200000\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Spawn(t, m, c.p)
			require.NoError(t, err)
			require.Equal(t, Result{Out: c.want}, r.Result())
		})
	}
}

func (s Suite) LongArgumentList(t *testing.T) {
	m := s.Boot(t, Root(t))
	argv := []string{"sh", "-c", "echo $#"}
	for range 1000 {
		argv = append(argv, strings.Repeat("x", 1000))
	}
	for _, env := range s.Ways {
		r, err := Spawn(t, m, engine.Program{Argv: argv, Env: env})
		require.NoError(t, err)
		require.Equal(t, Result{Out: "999\n"}, r.Result())
	}
}

func (s Suite) RefusesNUL(t *testing.T) {
	m := s.Boot(t, Root(t))
	for _, p := range []engine.Program{
		{Argv: []string{"echo", "a\x00b"}}, {Argv: []string{"echo"}, Env: []string{"A=\x00"}},
		{Argv: []string{"echo"}, Cwd: "/\x00"}, {Argv: []string{}}, {Argv: []string{"echo"}, Cwd: "relative"},
	} {
		_, err := Spawn(t, m, p)
		require.ErrorIs(t, err, &fault.Error{Code: fault.Invalid})
	}
}

func (s Suite) ExitCodesAndSignals(t *testing.T) {
	m := s.Boot(t, Root(t))
	for _, env := range s.Ways {
		r, err := Spawn(t, m, engine.Program{Argv: []string{"sh", "-c", "exit 7"}, Env: env})
		require.NoError(t, err)
		require.Equal(t, 7, r.Result().Status.ExitStatus())

		r, err = Spawn(t, m, engine.Program{Argv: []string{"sh", "-c", "kill -SEGV $$"}, Env: env})
		require.NoError(t, err)
		require.Equal(t, syscall.SIGSEGV, r.Result().Status.Signal())

		r, err = Spawn(t, m, engine.Program{Argv: []string{"sleep", "1000"}, Env: env})
		require.NoError(t, err)
		require.NoError(t, r.Signal(syscall.SIGTERM))
		require.Equal(t, syscall.SIGTERM, r.Result().Status.Signal())
		require.ErrorIs(t, r.Signal(syscall.SIGTERM), unix.ESRCH)
	}
}
