// Package handle is the host's side of one supervisor: the object behind a
// sandbox handle, and those behind its programs.
//
// A Sandbox goes through starting, running and ended. Each has one goroutine,
// run, that owns these steps; verbs of other goroutines only set flags, send
// messages or signals, and never wait for one another: kill works while others
// wait, disarm too. Ready is closed when the start has succeeded or failed, Done
// when the supervisor has been reaped and nothing of the sandbox is left.
package handle

import "time"

// The causes of an outcome: MSB_CAUSE_* in the header.
const (
	CauseUnknown      uint32 = 0
	CauseExited       uint32 = 1
	CauseSignaled     uint32 = 2
	CauseSandboxEnded uint32 = 3
	CauseStopped      uint32 = 4
	CauseDrained      uint32 = 5
	CauseKilled       uint32 = 6
	CauseOwnerGone    uint32 = 7
	CauseMemoryLimit  uint32 = 8
	CauseCrashed      uint32 = 9
	CauseStartFailed  uint32 = 10
	CauseIdleTimeout  uint32 = 11
	CauseMaxDuration  uint32 = 12
	CauseWallLimit    uint32 = 13
	CauseCPULimit     uint32 = 14
	CauseFileLimit    uint32 = 15
	CauseCPUTime      uint32 = 16
	CauseOutputLimit  uint32 = 17
)

// The states of a sandbox: MSB_STATE_* in the header.
const (
	StateStarting uint32 = 1
	StateRunning  uint32 = 2
	StateDraining uint32 = 3
	StateStopped  uint32 = 4
	StateCrashed  uint32 = 5
)

// Outcome is how a sandbox or program ended.
type Outcome struct {
	Cause    uint32
	ExitCode int32         // with CauseExited, else -1
	Signal   int32         // with CauseSignaled and a program's limits, else 0
	WallTime time.Duration // negative when unknown
	// Of a program and all that it started.
	CPUTime    time.Duration // negative when unknown
	MemoryPeak uint64        // largest resident size of one process, in bytes; 0 when unknown
	Limits     uint32        // LimitHit*: those that it has met
}

func ended(cause uint32) Outcome {
	return Outcome{Cause: cause, ExitCode: -1, WallTime: -1, CPUTime: -1, Limits: LimitOf(cause)}
}
