// Package launch starts supervisors: it finds msb, hands over the descriptors
// and the configuration, and reads the startup line that proves the exec. What
// differs between operating systems is in the files with their names.
package launch

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// Descriptors of a supervisor, placed by the spawner. 0 and 1 are /dev/null, 2
// collects what a dying runtime says.
const (
	ControlFD  = 3 // the owner's end of the control connection's other side
	ConfigFD   = 4 // sealed memfd with a control.Config
	WatchdogFD = 5 // read end of a pipe whose end of file means: the owner is gone
	StartupFD  = 6 // write end of a pipe for the startup line
	MountFD    = 7 // the first of the open mounts, in the order of the configuration
)

// DetachByte on the watchdog pipe means that the owner gave the sandbox up.
const DetachByte = 0x01

// SuperviseCommand is the first argument of msb as a supervisor.
const SuperviseCommand = store.SuperviseCommand

// libexecDir is where `make install` put msb; set by the linker.
var libexecDir string

// Find returns the msb executable: the one asked for, else the first that exists
// beside the library (dir), in ../libexec/microsandbox from there, or in the
// directory set at build time. Never the host program itself, never $PATH.
func Find(path, dir string) (string, error) {
	if path != "" {
		return filepath.Abs(path)
	}
	var tried []string
	if dir != "" {
		tried = append(tried, filepath.Join(dir, msbName), filepath.Join(dir, "../libexec/microsandbox", msbName))
	}
	if libexecDir != "" {
		tried = append(tried, filepath.Join(libexecDir, msbName))
	}
	for _, candidate := range tried {
		if st, err := os.Stat(candidate); err == nil && st.Mode().IsRegular() {
			return candidate, nil
		}
	}
	if len(tried) == 0 {
		return "", fault.New(fault.NotFound, fault.StageLaunch, "msb: no path given and no directory to look in: set msb_path")
	}
	return "", fault.New(fault.NotFound, fault.StageLaunch, "msb not found: tried %s: install it there or set msb_path", strings.Join(tried, ", "))
}

// Startup is the line that a supervisor writes first.
type Startup struct {
	Pid      int `json:"pid"`
	Protocol int `json:"protocol"`
}

// maxStartup bounds the startup line in bytes.
const maxStartup = 256

// parseStartup checks the line of the child pid.
func parseStartup(line []byte, path string, pid int) error {
	var s Startup
	if err := json.Unmarshal(line, &s); err != nil {
		return fault.New(fault.Launch, fault.StageLaunch, "%s: not a supervisor: its first line is %s", path, Quote(line))
	}
	if s.Protocol != control.Protocol {
		return fault.New(fault.Launch, fault.StageLaunch,
			"%s speaks protocol %d, this library %d: install the msb of the library's version", path, s.Protocol, control.Protocol)
	}
	if s.Pid != pid {
		return fault.New(fault.Launch, fault.StageLaunch, "%s: started as pid %d but says %d: it must not be a wrapper that forks", path, pid, s.Pid)
	}
	return nil
}

// Quote shows bytes that came from elsewhere in one short line.
func Quote(b []byte) string {
	const most = 80
	if len(b) > most {
		return fmt.Sprintf("%q…", b[:most])
	}
	return fmt.Sprintf("%q", b)
}
