package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// bootError turns a failure of gVisor into one line that names the cause and,
// where user namespaces are blocked, the remedy.
func bootError(ctx context.Context, logs engineLogs, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	detail := logs.lastError()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSPC) ||
		strings.Contains(text+detail, "operation not permitted") ||
		strings.Contains(text+detail, "permission denied") ||
		strings.Contains(text+detail, "no space left on device") {
		if cause := blockedUserns(); cause != "" {
			return fault.New(fault.Setup, fault.StageEngine, "user namespaces are blocked: %s (%s)", cause, text)
		}
	}
	if _, what, ok := strings.Cut(text, "mounting submounts: mount submount "); ok && !strings.Contains(what, "input/output error") {
		// In an image only the sentry can tell what is at a target.
		return fault.New(fault.Invalid, fault.StageRoot, "mount %s: the target does not fit the root file system", what)
	}
	if detail != "" {
		text += ": " + detail
	}
	return fault.New(fault.Boot, fault.StageEngine, "gvisor: %s", text)
}

// blockedUserns tries what the engine needs and tells why it is refused, and
// what to do; "" when nothing is in the way.
func blockedUserns() string {
	if number("/proc/sys/user/max_user_namespaces") == 0 {
		return "user.max_user_namespaces is 0; set it above 0 with sysctl"
	}
	if os.Geteuid() != 0 && number("/proc/sys/kernel/unprivileged_userns_clone") == 0 {
		return "kernel.unprivileged_userns_clone is 0; set it to 1 with sysctl"
	}
	if os.Geteuid() != 0 && number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1 {
		return "AppArmor restricts them; allow msb in a profile (userns,) or set " +
			"kernel.apparmor_restrict_unprivileged_userns to 0 with sysctl"
	}
	ids := idMap{uid: uint64(os.Geteuid()), gid: uint64(os.Getegid()), size: 1}
	userns, err := newUserns(ids)
	if err != nil {
		return fmt.Sprintf("%v; in a container, allow unshare and clone with user namespaces in its seccomp profile", err)
	}
	userns.Close()
	return ""
}

// number reads a sysctl; -1 where it does not exist.
func number(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return -1
	}
	var n int
	if _, err := fmt.Sscan(string(data), &n); err != nil {
		return -1
	}
	return n
}
