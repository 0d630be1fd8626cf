package gvisor

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
)

// paths are places on disk: as few as can be, since each file that is made costs
// some file systems a search.
type paths struct {
	dir  string // the machine's private directory; the control socket lies there
	host string // skeleton of the host root
}

func newPaths(dir string) paths { return paths{dir, filepath.Join(dir, "host")} }

// hostFiles is how many files of the host a sentry, and a gofer, may have open: each
// file of a root or mount that a guest has open is one. It keeps one sandbox from
// filling the host's table.
const hostFiles = 32768

// options are gVisor's. Only values that differ from gVisor's defaults are set.
func (p paths) options(overlayBytes uint64, more map[string]string) []string {
	set := map[string]string{
		"root":           p.dir,
		"platform":       "systrap",
		"network":        "none",
		"ignore-cgroups": "true",
		"host-settings":  "ignore",
		"fdlimit":        strconv.Itoa(hostFiles),
		// The connections that we keep must not delay the end of the sandbox.
		"control-rpc-stop-timeout": "0s",
		// The sentry is this binary and not a sidecar file.
		"sidecar-usage-policy": "LEGACY_DEPRECATED_SLOW_EMBEDDED_FALLBACK",
		// Changes stay in memory, never beside the files given to us.
		"overlay2": fmt.Sprintf("root:memory,size=%d", overlayBytes),
	}
	maps.Copy(set, more)
	var flags []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		flags = append(flags, "--"+name+"="+set[name])
	}
	return flags
}
