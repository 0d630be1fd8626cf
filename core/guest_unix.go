//go:build unix

package core

import "strings"

// defaultEnv is what a program sees unless it is cleared or overridden.
var defaultEnv = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"LANG=C.UTF-8",
}

// absoluteInside reports whether a path of the guest is absolute.
func absoluteInside(path string) bool { return strings.HasPrefix(path, "/") }
