package handle

import "github.com/libmicrosandbox/microsandbox/core/store"

// sweep takes away what a supervisor that died without cleaning up left.
func sweep(stateDir string) {
	root, err := store.OpenExistingRoot(stateDir)
	if err != nil || root == nil {
		return
	}
	defer root.Close()
	root.SweepAll()
}
