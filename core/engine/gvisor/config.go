package gvisor

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/flag"

	"github.com/libmicrosandbox/microsandbox/core/failpoint"
)

// paths are the engine's files below the machine's private directory.
type paths struct {
	state  string // gVisor's own state and the control socket
	bundle string // config.json
	empty  string // root of a machine whose real root is an image
	host   string // skeleton of the host root
	log    string // errors of sentry and gofer
	panics string // Go panics of the sentry
}

func newPaths(dir string) (paths, error) {
	p := paths{
		state:  filepath.Join(dir, "state"),
		bundle: filepath.Join(dir, "bundle"),
		empty:  filepath.Join(dir, "empty"),
		host:   filepath.Join(dir, "host"),
		log:    filepath.Join(dir, "engine.log"),
		panics: filepath.Join(dir, "panic.log"),
	}
	for _, d := range []string{p.state, p.bundle, p.empty} {
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

// configure returns gVisor's configuration. Only values that differ from
// gVisor's defaults are set.
func (p paths) configure(overlayBytes uint64, more map[string]string) (*config.Config, error) {
	set := flag.NewFlagSet("gvisor", flag.ContinueOnError)
	config.RegisterFlags(set)
	options := map[string]string{
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
		// The default pins a network namespace with a mount that outlives us.
		"gofer-network-namespace": "new",
		// The sentry is this binary and not a sidecar file.
		"sidecar-usage-policy": "LEGACY_DEPRECATED_SLOW_EMBEDDED_FALLBACK",
		// Changes stay in memory, never beside the files given to us.
		"overlay2": fmt.Sprintf("root:memory,size=%d", overlayBytes),
	}
	if dir := failpoint.TraceDir(); dir != "" {
		// gVisor's own timeline is in its debug log only.
		options["debug"], options["debug-log"] = "true", dir+"/%COMMAND%.log"
	}
	maps.Copy(options, more)
	for name, value := range options {
		if err := set.Set(name, value); err != nil {
			return nil, fmt.Errorf("gvisor option %s=%s: %w", name, value, err)
		}
	}
	return config.NewFromFlags(set)
}

// silence stops gVisor's library code from writing to standard error.
var silence = sync.OnceFunc(func() { log.SetTarget(discard{}) })

type discard struct{}

func (discard) Emit(int, log.Level, time.Time, string, ...any) {}

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
