package pid1

import (
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// settle makes the file systems on disks read-only, for as long as a file that is open
// for writing allows: their journals are then empty, so that the next machine can mount
// them without writing to them. The programs have been killed; their ends take a moment.
func settle(patience time.Duration) {
	unix.Sync()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		busy := false
		for line := range strings.Lines(readFile("/proc/self/mounts")) {
			fields := strings.Fields(line)
			if len(fields) < 4 || !strings.HasPrefix(fields[0], "/dev/vd") || !strings.HasPrefix(fields[3], "rw") {
				continue
			}
			if unix.Mount("", unescape(fields[1]), "", unix.MS_REMOUNT|unix.MS_RDONLY, "") == unix.EBUSY {
				busy = true
			}
		}
		if !busy || time.Since(start) > patience {
			return
		}
	}
}

// unescape undoes the octal escapes of /proc/self/mounts.
func unescape(s string) string {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}
