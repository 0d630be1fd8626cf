package core

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// defaultEnv is what a program sees unless it is cleared or overridden: the system's
// own programs, and nothing of the user's.
var defaultEnv = []string{"PATH=" + systemPath()}

func systemPath() string {
	dir, err := windows.GetSystemWindowsDirectory()
	if err != nil {
		dir = `C:\Windows`
	}
	system := filepath.Join(dir, "System32")
	return system + ";" + dir + ";" + filepath.Join(system, "WindowsPowerShell", "v1.0")
}

// absoluteInside reports whether a path of a program is absolute.
func absoluteInside(path string) bool { return filepath.IsAbs(path) }
