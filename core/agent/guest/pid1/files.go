package pid1

import (
	"golang.org/x/sys/unix"
)

// readFile reads a small file of the kernel; "" when it cannot.
func readFile(path string) string { return readAt(unix.AT_FDCWD, path) }

func readAt(dir int, path string) string {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var all []byte
	for buf := make([]byte, 4096); ; {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return string(all)
		}
		all = append(all, buf[:n]...)
	}
}

func writeAt(dir int, path, text string) error {
	fd, err := unix.Openat(dir, path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

// oomScore of the agent: the kernel never chooses it; programs have 0.
const oomScore = "-1000"

// protect keeps us from the kernel's out-of-memory killer. Without the privilege for
// that, in tests, nothing changes.
func protect(yes bool) {
	score := "0"
	if yes {
		score = oomScore
	}
	writeAt(unix.AT_FDCWD, "/proc/self/oom_score_adj", score)
}

// canSetGroups tells whether this user namespace has setgroups(2).
func canSetGroups() bool { return readFile("/proc/self/setgroups") != "deny\n" }
