// Package guest holds the launcher, the only program of ours inside the guest:
// its pid 1, and the starter of programs that the control connection cannot
// carry exactly. launcher.c says how it works; build.sh makes the binary.
package guest

//go:generate ./build.sh
