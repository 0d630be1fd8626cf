package job

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// environment adds what a program cannot do without to what it was given: where the
// system is, and a directory for temporary files.
func (m *machine) environment(given []string) []string {
	env := append([]string(nil), given...)
	for _, e := range append(winsys.SystemEnv(), "TEMP="+m.work, "TMP="+m.work) {
		name, _, _ := strings.Cut(e, "=")
		if _, ok := lookUp(given, name); !ok {
			env = append(env, e)
		}
	}
	return env
}

// lookUp finds a variable; their names do not tell upper from lower case.
func lookUp(env []string, name string) (string, bool) {
	for _, e := range env {
		if key, value, ok := strings.Cut(e, "="); ok && strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}

// find is the executable that a name stands for: a path, from the program's directory,
// or a name in its PATH. ".exe" may be left out. Scripts are refused: the shell that
// runs them reads their arguments in its own way.
func find(name, dir string, env []string) (string, error) {
	var tried []string
	if strings.ContainsAny(name, `\/:`) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		tried = []string{name}
	} else {
		list, _ := lookUp(env, "PATH")
		for _, d := range filepath.SplitList(list) {
			if filepath.IsAbs(d) {
				tried = append(tried, filepath.Join(d, name))
			}
		}
	}
	for _, base := range tried {
		for _, path := range []string{base, base + ".exe"} {
			st, err := os.Stat(path)
			if err != nil || st.IsDir() {
				continue
			}
			if ext := strings.ToLower(filepath.Ext(path)); ext == ".bat" || ext == ".cmd" {
				return "", notStarted(fault.StageExec, syscall.ENOEXEC, "start %q: scripts are not started as they are: run cmd.exe /c with it", path)
			}
			return path, nil
		}
	}
	return "", notStarted(fault.StageExec, syscall.ENOENT, "start %q: not found", name)
}
