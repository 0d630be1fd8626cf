package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// SuperviseCommand is the first argument of msb as a supervisor.
const SuperviseCommand = "supervise"

// CgroupOwner is the word in the names of a state root's control groups.
func CgroupOwner(stateDir string) string { return key(filepath.Clean(stateDir))[:16] }

// Labels are the words on a supervisor's command line that let a sweep find one
// which no record names: before its claim, and after it has given that up.
func Labels(stateDir string, owner int) []string {
	return []string{"--state=" + key(filepath.Clean(stateDir)), "--owner=" + strconv.Itoa(owner)}
}

// key is the directory name of a sandbox: a name may hold any byte that is not a
// path separator and be longer, once escaped, than a directory entry.
func key(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// isKey reports whether a directory entry is one of ours.
func isKey(entry string) bool {
	if len(entry) != 32 {
		return false
	}
	_, err := hex.DecodeString(entry)
	return err == nil
}

// LogDir is where a temporary sandbox has its log, in its own directory.
const LogDir = "log"

const logSuffix = ".log"

// LogName is where a stored sandbox has its log, on the shelf.
func LogName(name string) string { return key(name) + logSuffix }

func rootError(err error, path string) error {
	return fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("state directory %q", path))
}

// NotFound is the error for a name without a living sandbox.
func NotFound(name, path string) error {
	return fault.New(fault.NotFound, fault.StageState, "no sandbox named %q is running in %q", name, path)
}
