package gvisor

import (
	"context"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// carriesExactly tells whether gVisor's own call starts p as it is asked for.
// It does not where the program has limits or an umask of its own, where
// strings are not UTF-8 (they are replaced), where the
// environment has duplicates or entries that are no assignments (the former
// are merged, the latter refused) or no HOME (one is added), and where the
// program is given by a relative path or looked up in relative directories. The
// order of the environment is not kept.
func carriesExactly(p engine.Program) bool {
	if p.Umask != nil || len(p.Rlimits) > 0 {
		return false
	}
	for _, s := range p.Argv {
		if !utf8.ValidString(s) {
			return false
		}
	}
	if !utf8.ValidString(p.Cwd) || strings.Index(p.Argv[0], "/") > 0 || p.Argv[0] == "" {
		return false
	}
	seen := make(map[string]string, len(p.Env))
	for _, s := range p.Env {
		name, value, ok := strings.Cut(s, "=")
		if _, twice := seen[name]; !ok || twice || !utf8.ValidString(s) {
			return false
		}
		seen[name] = value
	}
	if _, ok := seen["HOME"]; !ok {
		return false
	}
	return p.Argv[0][0] == '/' || absoluteEntries(seen["PATH"])
}

func absoluteEntries(path string) bool {
	for _, entry := range strings.Split(path, ":") {
		if !strings.HasPrefix(entry, "/") {
			return false
		}
	}
	return true
}

const (
	noUmask = 0xffffffff
	// stageRlimit is the launcher's: the upper half of the stage is the index.
	stageRlimit = 100
)

// startLauncher starts a program through the launcher in the guest, which gets
// the request as bytes and reports why it could not be executed.
func (m *machine) startLauncher(ctx context.Context, p engine.Program, stdio []*os.File) (engine.Process, error) {
	request, err := memfile("request", encodeRequest(p))
	if err != nil {
		closeAll(stdio)
		return nil, fault.Wrap(err, fault.IO, fault.StageExec, "start a program")
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		closeAll(append(stdio, request))
		return nil, fault.Wrap(err, fault.IO, fault.StageExec, "start a program")
	}
	defer ours.Close()
	binaryFile, err := reopen(m.launcher)
	if err != nil {
		closeAll(append(stdio, request, theirs))
		return nil, fault.Wrap(err, fault.IO, fault.StageExec, "start a program")
	}
	args := m.execArgs(p)
	args.Argv = []string{"launch"}
	args.Envv = []string{"HOME=/"}
	args.GuestFDs = []int{0, 1, 2, 3, 4}
	pid, err := m.execute(ctx, &args, append(stdio, request, theirs, binaryFile))
	if err != nil {
		return nil, m.rpcError(err, "start the launcher")
	}
	started := &process{m: m, pid: pid}
	stage, errno, err := readStatus(ctx, ours)
	if err == nil && errno == 0 {
		return started, nil
	}
	started.Signal(unix.SIGKILL)
	go started.Wait()
	if err != nil {
		return nil, m.rpcError(err, "start a program")
	}
	if i := int(stage >> 16); stage&0xffff == stageRlimit && i < len(p.Rlimits) {
		return nil, engine.RlimitRefused(p.Rlimits[i], errno)
	}
	return nil, engine.NotStarted(stage, errno, p)
}

// encodeRequest is the launcher's request: see guest/launcher.c.
func encodeRequest(p engine.Program) []byte {
	parts := append([]string{p.Cwd}, p.Argv...)
	parts = append(parts, p.Env...)
	text := strings.Join(parts, "\x00") + "\x00"
	umask := uint32(noUmask)
	if p.Umask != nil {
		umask = *p.Umask
	}
	var out []byte
	for _, n := range []int{len(p.Argv), len(p.Env), len(text), int(umask), len(p.Rlimits), 0} {
		out = binary.LittleEndian.AppendUint32(out, uint32(n))
	}
	for _, r := range p.Rlimits {
		out = binary.LittleEndian.AppendUint64(out, uint64(r.Resource))
		out = binary.LittleEndian.AppendUint64(out, r.Soft)
		out = binary.LittleEndian.AppendUint64(out, r.Hard)
	}
	return append(out, text...)
}

// readStatus waits for the launcher: end of file means that it has executed
// the program.
func readStatus(ctx context.Context, r *os.File) (fault.Stage, unix.Errno, error) {
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var buf [8]byte
	switch _, err := io.ReadFull(r, buf[:]); {
	case err == io.EOF:
		return 0, 0, nil
	case ctx.Err() != nil:
		return 0, 0, ctx.Err()
	case err != nil:
		return 0, 0, err
	}
	return fault.Stage(binary.LittleEndian.Uint32(buf[:])), unix.Errno(binary.LittleEndian.Uint32(buf[4:])), nil
}

// reopen returns a file of its own for a memfile, so that it can be given away.
func reopen(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
