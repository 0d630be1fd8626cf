//go:build !failpoint && !profile

// Package failpoint lets the crash tests stop or kill a process at a named step.
// Without the build tag failpoint, that is in every build but that of the tests,
// it does nothing.
package failpoint

// Arm says in which directory to look for the file that names a step.
func Arm(string) {}

// Point is a step.
func Point(string) {}

// Mark is a step at which nothing ever stops: only profiles have it.
func Mark(string) {}

// TraceDir is where a profile's traces go, "" without one.
func TraceDir() string { return "" }
