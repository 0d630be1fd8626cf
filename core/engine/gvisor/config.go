package gvisor

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// paths are the engine's files below the machine's private directory.
type paths struct {
	state  string // the control socket
	empty  string // root of a machine whose real root is an image
	host   string // skeleton of the host root
	log    string // errors of sentry and gofer
	panics string // Go panics of the sentry
}

func newPaths(dir string) (paths, error) {
	p := paths{
		state:  filepath.Join(dir, "state"),
		empty:  filepath.Join(dir, "empty"),
		host:   filepath.Join(dir, "host"),
		log:    filepath.Join(dir, "engine.log"),
		panics: filepath.Join(dir, "panic.log"),
	}
	for _, d := range []string{p.state, p.empty} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return p, err
		}
	}
	return p, nil
}

// hostFiles is how many files of the host a sentry, and a gofer, may have open: each
// file of a root or mount that a guest has open is one. It keeps one sandbox from
// filling the host's table.
const hostFiles = 32768

// options are gVisor's. Only values that differ from gVisor's defaults are set.
func (p paths) options(overlayBytes uint64, more map[string]string) []string {
	set := map[string]string{
		"root":           p.state,
		"log":            p.log,
		"panic-log":      p.panics,
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

// lastError returns the last line that sentry or gofer wrote to the log, or "".
func (p paths) lastError() string {
	const enough = 64 << 10
	for _, name := range []string{p.log, p.panics} {
		data, err := os.ReadFile(name)
		if err != nil || len(data) == 0 {
			continue
		}
		data = data[max(0, len(data)-enough):]
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		line := lines[len(lines)-1]
		if name == p.panics {
			line = lines[0]
		}
		return strings.ToValidUTF8(line, "?")
	}
	return ""
}
