package pid1

import (
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// Descriptors of a keeper beside those of the launcher, 0 to 4.
const (
	keeperLauncher = 5
	keeperResult   = 6
)

// KeeperName is the argv[0] of a keeper.
const KeeperName = "keep"

// keeperReport is how a program ended.
type keeperReport struct {
	status         uint32
	own, all, peak uint64
}

const keeperReportSize = 28

func (r *keeperReport) append(b []byte) []byte {
	b = le.AppendUint32(b, r.status)
	return le.AppendUint64(le.AppendUint64(le.AppendUint64(b, r.own), r.all), r.peak)
}

func decodeKeeperReport(b []byte) keeperReport {
	return keeperReport{le.Uint32(b), le.Uint64(b[4:]), le.Uint64(b[12:]), le.Uint64(b[20:])}
}

// keeperArgs tell a keeper who the program is: terminal, setgroups, uid, gid, groups.
func keeperArgs(who syscall.Credential, terminal bool) []string {
	args := []string{KeeperName, strconv.FormatBool(terminal), strconv.FormatBool(!who.NoSetGroups)}
	for _, id := range append([]uint32{who.Uid, who.Gid}, who.Groups...) {
		args = append(args, strconv.FormatUint(uint64(id), 10))
	}
	return args
}

// Keep is the life of a keeper: it starts its program, tells its process id and its
// end, reaps all that falls to it, and leaves with the last of them.
func Keep(args []string) int {
	runtime.LockOSThread()
	for fd := 3; fd <= keeperResult; fd++ {
		unix.CloseOnExec(fd)
	}
	if len(args) < 5 || unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != nil {
		return 1
	}
	IgnoreSignals()
	var ids []uint32
	for _, arg := range args[3:] {
		id, err := strconv.ParseUint(arg, 10, 32)
		if err != nil {
			return 1
		}
		ids = append(ids, uint32(id))
	}
	who := syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:], NoSetGroups: args[2] != "true"}
	pid, err := forkLauncher(keeperLauncher, attributes([]int{0, 1, 2, 3, 4}, who, args[1] == "true"))
	if err != nil {
		return 1
	}
	for fd := 0; fd < keeperResult; fd++ {
		unix.Close(fd)
	}
	unix.Write(keeperResult, le.AppendUint32(nil, uint32(pid)))
	keepUntilEmpty(pid)
	return 0
}

func keepUntilEmpty(program int) {
	peak := uint64(0)
	for {
		pid, err := nextEnded(0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		own := processTime(pid)
		var status unix.WaitStatus
		var used unix.Rusage
		unix.Wait4(pid, &status, 0, &used)
		peak = max(peak, uint64(used.Maxrss)<<10)
		if pid != program {
			continue
		}
		report := keeperReport{status: uint32(status), own: own, all: wire.Unknown, peak: peak}
		var all unix.Rusage
		if unix.Getrusage(unix.RUSAGE_CHILDREN, &all) == nil {
			report.all = uint64(all.Utime.Nano()+all.Stime.Nano()) + living()
			if own != wire.Unknown {
				report.all = max(report.all, own)
			}
		}
		unix.Write(keeperResult, report.append(nil))
		unix.Close(keeperResult)
	}
}

// living is the processor time of what descends from us, and has not ended.
func living() (total uint64) {
	all, self := parents(), unix.Getpid()
	for pid := range all {
		if used := processTime(pid); used != wire.Unknown && descends(all, pid, self) {
			total += used
		}
	}
	return total
}
