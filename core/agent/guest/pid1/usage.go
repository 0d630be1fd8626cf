package pid1

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// usage serves KindUsage.
func (a *Agent) usage(id uint32) {
	u := wire.Usage{CPUTime: a.cpuTime()}
	u.MemoryBytes, u.OverlayBytes = memory(readFile("/proc/meminfo"))
	a.memoryPeak = max(a.memoryPeak, u.MemoryBytes)
	u.MemoryPeak = a.memoryPeak
	var fs unix.Statfs_t
	if a.upperDisk && unix.Fstatfs(a.upper, &fs) == nil {
		u.UpperBytes = (fs.Blocks - fs.Bfree) * uint64(fs.Bsize)
	}
	for _, p := range a.programs {
		if !p.ended {
			u.Programs++
		}
	}
	a.reply(id, u.Append(nil))
}

// overlayFull tells whether changes to the root, or /dev/shm, find no room.
func (a *Agent) overlayFull() bool {
	for _, fd := range []int{a.upper, a.shm} {
		var fs unix.Statfs_t
		if fd < 0 || unix.Fstatfs(fd, &fs) != nil {
			continue
		}
		if fs.Blocks > 0 && fs.Bavail == 0 || fs.Files > 0 && fs.Ffree == 0 {
			return true
		}
	}
	return false
}

// cpuTime is that of all programs, in nanoseconds.
func (a *Agent) cpuTime() uint64 {
	if c, ok := a.kill.(*cgroups); ok {
		return c.usage()
	}
	var children unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &children); err != nil {
		return wire.Unknown
	}
	total := uint64(children.Utime.Nano() + children.Stime.Nano())
	for _, pid := range processes() {
		if used := processTime(pid); pid != 1 && used != wire.Unknown {
			total += used
		}
	}
	return total
}

// memory is what of /proc/meminfo is in use, and how much of that are files in memory.
func memory(meminfo string) (used, files uint64) {
	values := map[string]uint64{}
	for _, line := range strings.Split(meminfo, "\n") {
		name, rest, _ := strings.Cut(line, ":")
		number, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
		if kib, err := strconv.ParseUint(number, 10, 53); err == nil {
			values[name] = kib << 10
		}
	}
	files = values["Shmem"]
	free := values["MemFree"] + values["Buffers"] + values["Cached"] + values["SReclaimable"]
	if total := values["MemTotal"] + files; total > free {
		used = total - free
	}
	return used, files
}

// processes are the numbers of all processes that we see.
func processes() []int {
	var pids []int
	for _, name := range names("/proc") {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
