package main

// #include <string.h>
// #include "shim.h"
// #include "check.h"
// #include "host.h"
import "C"

import (
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// Limits of argv, env and cwd together.
const (
	maxStrings     = 65536
	maxStringBytes = 1 << 20
	maxLabelBytes  = 64 << 10 // what is read before core says that 1000 is the limit
)

// duration converts milliseconds. All negative values mean the same, and no
// caller waits for longer than 100 years: both keep sums from overflowing.
func duration(ms C.int64_t) time.Duration {
	const most = 100 * 365 * 24 * 3600 * 1000
	if ms < 0 {
		return -1
	}
	return time.Duration(min(int64(ms), most)) * time.Millisecond
}

// text copies a string that the shim has bounded; NULL is "".
func text(s *C.char) string {
	if s == nil {
		return ""
	}
	return C.GoString(s)
}

func place(p *C.msbc_place) core.State {
	return completePlace(core.State{
		Dir: text(p.dir), MsbHome: text(p.home), XDGRuntimeDir: text(p.runtime),
		XDGDataHome: text(p.data), Home: text(p.user),
	})
}

func sandboxOptions(o *C.msb_sandbox_options, p *C.msbc_place) (core.Options, error) {
	budget := maxLabelBytes
	labels, err := stringList("labels", o.labels, &budget)
	if err != nil {
		return core.Options{}, err
	}
	mounted, err := mountList(o)
	if err != nil {
		return core.Options{}, err
	}
	return core.Options{
		Name:         text(o.name),
		MsbPath:      text(o.msb_path),
		LibraryDir:   text(C.msbc_library_dir()),
		State:        place(p),
		Engine:       core.Engine(o.engine),
		Root:         image.Root{Kind: image.Kind(o.root_kind), Path: text(o.root_path)},
		MemoryBytes:  uint64(o.memory_bytes),
		OverlayBytes: uint64(o.overlay_bytes),
		StartTimeout: duration(o.start_timeout_ms),
		StopGrace:    duration(o.stop_grace_ms),
		ReplaceGrace: duration(o.replace_grace_ms),
		IdleTimeout:  duration(o.idle_timeout_ms),
		MaxDuration:  duration(o.max_duration_ms),
		SampleEvery:  duration(o.metrics_interval_ms),
		LogMaxBytes:  uint64(o.log_max_bytes),
		KernelPath:   text(o.kernel_path),
		Limits:       limits(o),
		Mounts:       mounted,
		Detached:     o.flags&C.MSB_CREATE_DETACHED != 0,
		Stored:       o.flags&C.MSB_CREATE_STORED != 0,
		Replace:      o.flags&C.MSB_CREATE_REPLACE != 0,
		Labels:       labels,
	}, nil
}

func processOptions(o *C.msb_process_options) (core.ProcessOptions, error) {
	budget := maxStringBytes
	own := core.ProcessOptions{
		Cwd:          text(o.cwd),
		ClearEnv:     o.flags&C.MSB_START_CLEAR_ENV != 0,
		Overlapped:   o.flags&C.MSB_START_OVERLAPPED != 0,
		StartTimeout: duration(o.start_timeout_ms),
	}
	budget -= len(own.Cwd)
	var err error
	if own.Argv, err = stringList("argv", o.argv, &budget); err != nil {
		return own, err
	}
	if own.Env, err = stringList("env", o.env, &budget); err != nil {
		return own, err
	}
	own.UID, own.GID, own.WallLimit, own.OutputLimit = uint32(o.uid), uint32(o.gid), duration(o.wall_limit_ms), uint64(o.output_limit_bytes)
	own.Window = core.TerminalSize{Rows: uint32(o.rows), Cols: uint32(o.cols)}
	if o.flags&C.MSB_START_UMASK != 0 {
		umask := uint32(o.umask)
		own.Umask = &umask
	}
	if own.Groups, err = groups(o); err != nil {
		return own, err
	}
	if own.Rlimits, err = rlimits(o); err != nil {
		return own, err
	}
	for i := range o.stdio {
		if own.Stdio[i], err = stdio(i, &o.stdio[i]); err != nil {
			return own, err
		}
	}
	return own, nil
}

func groups(o *C.msb_process_options) ([]uint32, error) {
	if o.group_count > core.MaxGroups {
		return nil, fault.New(fault.Limit, fault.StageArgument, "group_count is %d, at most %d are allowed", uint32(o.group_count), core.MaxGroups)
	}
	var own []uint32
	for _, gid := range unsafe.Slice(o.groups, int(o.group_count)) {
		own = append(own, uint32(gid))
	}
	return own, nil
}

func rlimits(o *C.msb_process_options) ([]core.Rlimit, error) {
	if o.rlimit_count > core.MaxRlimits {
		return nil, fault.New(fault.Invalid, fault.StageArgument, "rlimit_count is %d, at most %d are allowed", uint32(o.rlimit_count), core.MaxRlimits)
	}
	var own []core.Rlimit
	for i, l := range unsafe.Slice(o.rlimits, int(o.rlimit_count)) {
		if l.reserved != 0 {
			return nil, fault.New(fault.Invalid, fault.StageArgument, "rlimits[%d]: reserved is %d, must be 0", i, uint32(l.reserved))
		}
		own = append(own, core.Rlimit{Resource: uint32(l.resource), Soft: uint64(l.soft), Hard: uint64(l.hard)})
	}
	return own, nil
}

// stringList copies a NULL-terminated list, reading no more than the budget allows.
func stringList(what string, list **C.char, budget *int) ([]string, error) {
	if list == nil {
		return nil, nil
	}
	var own []string
	for i := 0; ; i++ {
		s := *(**C.char)(unsafe.Add(unsafe.Pointer(list), uintptr(i)*unsafe.Sizeof(list)))
		if s == nil {
			return own, nil
		}
		if i == maxStrings {
			return nil, fault.New(fault.Limit, fault.StageArgument, "%s: more than %d strings: is it NULL-terminated?", what, maxStrings)
		}
		size := int(C.strnlen(s, C.size_t(*budget)+1))
		if *budget -= size + 1; *budget < 0 {
			return nil, fault.New(fault.Limit, fault.StageArgument, "%s: more bytes than allowed: is each string NUL-terminated?", what)
		}
		own = append(own, C.GoStringN(s, C.int(size)))
	}
}

func stdio(which int, s *C.msb_stdio) (core.Stdio, error) {
	invalid := func(format string, args ...any) (core.Stdio, error) {
		return core.Stdio{}, fault.New(fault.Invalid, fault.StageArgument, "stdio[%d]: "+format, append([]any{which}, args...)...)
	}
	switch {
	case s.kind > C.MSB_STDIO_LOG:
		return invalid("kind %d is not an MSB_STDIO_* value", uint32(s.kind))
	case s.reserved != 0:
		return invalid("reserved is %d, must be 0", uint32(s.reserved))
	case s.kind != C.MSB_STDIO_FD && s.fd != 0:
		return invalid("fd is %d, must be 0 without MSB_STDIO_FD", int64(s.fd))
	case s.fd < 0 || s.fd > 1<<31-1:
		return invalid("%d is not a descriptor", int64(s.fd))
	}
	return core.Stdio{Kind: uint32(s.kind), FD: int(s.fd)}, nil
}

func putInfo(out *C.msb_sandbox_info, info core.Info) {
	*out = C.msb_sandbox_info{
		size:            C.sizeof_msb_sandbox_info,
		state:           C.uint32_t(info.State),
		engine:          C.uint32_t(info.Engine),
		flags:           C.uint32_t(info.Flags),
		pid:             C.int32_t(info.Pid),
		programs:        C.uint32_t(info.Programs),
		memory_bytes:    C.uint64_t(info.MemoryBytes),
		overlay_bytes:   C.uint64_t(info.OverlayBytes),
		created_unix_ms: unixMs(info.Created),
	}
	putLimits(out, info.Limits)
	putText(out.receipt[:], strings.Join(info.Receipt, "\n"))
}

func putEntry(out *C.msb_sandbox_entry, entry core.Entry) {
	*out = C.msb_sandbox_entry{
		state:           C.uint32_t(entry.State),
		pid:             C.int32_t(entry.Pid),
		engine:          C.uint32_t(entry.Engine),
		flags:           C.uint32_t(entry.Flags),
		last_cause:      C.uint32_t(entry.LastCause),
		created_unix_ms: unixMs(entry.Created),
	}
	putText(out.name[:], entry.Name)
	putText(out.labels[:], strings.Join(entry.Labels, "\n"))
}

func putOutcome(out *C.msb_outcome, o core.Outcome) {
	*out = C.msb_outcome{
		size:              C.sizeof_msb_outcome,
		cause:             C.uint32_t(o.Cause),
		exit_code:         C.int32_t(o.ExitCode),
		signal:            C.int32_t(o.Signal),
		wall_time_ns:      nanoseconds(o.WallTime),
		cpu_time_ns:       nanoseconds(o.CPUTime),
		memory_peak_bytes: C.uint64_t(o.MemoryPeak),
		limits_hit:        C.uint32_t(o.Limits),
	}
}

// nanoseconds converts a time that is negative when unknown.
func nanoseconds(d time.Duration) C.int64_t { return C.int64_t(max(d.Nanoseconds(), -1)) }

func unixMs(t time.Time) C.int64_t {
	if t.IsZero() {
		return 0
	}
	return C.int64_t(t.UnixMilli())
}

// putText copies as many whole characters of s as fit, and a NUL.
func putText(out []C.char, s string) {
	room := len(out) - 1
	if len(s) > room {
		for room > 0 && !utf8.RuneStart(s[room]) {
			room--
		}
		s = s[:room]
	}
	for i := range len(s) {
		out[i] = C.char(s[i])
	}
	out[len(s)] = 0
}

// fail fills in the shim's error from err and returns its code.
func fail(out *C.msb_error, err error) C.msb_result {
	e := fault.From(err)
	out.code = C.int32_t(e.Code)
	out.sys_errno = C.int32_t(e.Errno)
	out.stage = C.uint32_t(e.Stage)
	putText(out.message[:], oneLine(e.Message))
	return C.msb_result(e.Code)
}

// oneLine makes a message of bytes that came from anywhere one line of UTF-8.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
