// Package control is the protocol between the library and a supervisor: small
// JSON messages over a SOCK_SEQPACKET socket, descriptors beside them.
//
// A client sends requests, each with an id of its own; the supervisor answers
// each with one reply of the same id, in any order, and sends events in
// between. A program is known by a number that the client chose, so that an
// event about it can never overtake its name. docs/architecture.md lists the
// messages.
package control

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/metrics"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// Protocol is the version of this protocol and of Config. A library and an msb
// of different versions refuse each other.
const Protocol = 1

const (
	// MaxFrame is the largest frame on the socket, in bytes. A larger message
	// travels in a sealed memfd.
	MaxFrame = 64 << 10
	// MaxMessage is the largest message at all, in bytes. 1 MiB of argv and
	// environment, each string's NUL counted, is 3.5 MiB here at the worst: an
	// argument of one byte takes seven ("eA==",).
	MaxMessage = 4 << 20
	// MaxFDs is the most descriptors that one frame may carry.
	MaxFDs = 8
)

// Type says what a message is.
type Type string

// Requests, and the body that each takes and returns.
const (
	Start  Type = "start"  // StartRequest, stdio descriptors as listed in it; returns StartReply
	Signal Type = "signal" // SignalRequest
	Stop   Type = "stop"   // StopRequest, returns StopReply before the sandbox ends
	Drain  Type = "drain"  // DrainRequest; answered before the sandbox ends
	Detach Type = "detach" // live on without the owner
	Info   Type = "info"   // returns InfoReply
	Adopt  Type = "adopt"  // AdoptRequest; owner only, once, of a sandbox that waits in a pool
	Resize Type = "resize" // ResizeRequest
)

// Answers and events.
const (
	Reply  Type = "reply"
	Ready  Type = "ready"  // to the owner: programs can start
	Failed Type = "failed" // to the owner: Err says why the boot failed
	Exited Type = "exited" // ExitedEvent: a program of this client ended
	Ended  Type = "ended"  // EndedEvent: the last message of a sandbox
)

// Message is one frame.
type Message struct {
	Version int             `json:"v"`
	Type    Type            `json:"t"`
	ID      uint64          `json:"id,omitempty"` // request and reply only
	Err     *fault.Error    `json:"e,omitempty"`
	Body    json.RawMessage `json:"b,omitempty"`
}

// Config is what a supervisor is started with, as JSON in a sealed memfd.
type Config struct {
	Protocol     int            `json:"protocol"`
	Name         string         `json:"name"`
	ID           string         `json:"id"`
	StateDir     string         `json:"-"`      // in configPaths
	Engine       string         `json:"engine"` // "" = the strongest that works
	Root         image.Root     `json:"root"`
	MemoryBytes  uint64         `json:"memory_bytes"`
	OverlayBytes uint64         `json:"overlay_bytes"`
	StopGrace    time.Duration  `json:"stop_grace_ns"`
	BootTimeout  time.Duration  `json:"boot_timeout_ns"`
	OwnerPid     int            `json:"owner_pid"`
	Detached     bool           `json:"detached,omitempty"` // live on without the owner once ready
	Labels       []string       `json:"labels,omitempty"`   // NAME=VALUE
	IdleTimeout  time.Duration  `json:"idle_ns,omitempty"`  // 0: none
	MaxDuration  time.Duration  `json:"max_ns,omitempty"`   // 0: none
	StoredDir    string         `json:"-"`                  // where stored configurations are
	KernelPath   string         `json:"-"`                  // of engines whose guests have a kernel; "": the default
	Kernels      []string       `json:"-"`                  // directories of prepared kernels
	Metrics      *metrics.Token `json:"metrics,omitempty"`  // reserved slot; nil: none
	SampleEvery  time.Duration  `json:"sample_ns,omitempty"`
	LogMaxBytes  uint64         `json:"log_max_bytes,omitempty"` // of one file of the log; 0: the default
	Limits       Limits         `json:"limits"`
	Stored       bool           `json:"stored,omitempty"`
	// Mounts are open: their descriptors are inherited beside the configuration.
	Mounts     []mounts.Entry `json:"mounts,omitempty"`
	MountFiles []*os.File     `json:"-"`                     // in the library only
	StartAgain bool           `json:"start_again,omitempty"` // of a stored sandbox: it must exist, not must not
	Pooled     bool           `json:"pooled,omitempty"`      // boot, and wait for an AdoptRequest
}

// configPaths holds the paths of a Config: as JSON strings they would lose every
// byte that is not UTF-8.
type configPaths struct {
	StateDir  []byte `json:"state_dir"`
	StoredDir []byte `json:"stored_dir,omitempty"`

	KernelPath []byte   `json:"kernel_path,omitempty"`
	Kernels    [][]byte `json:"kernels,omitempty"`
}

type plainConfig Config // without the methods

// MarshalJSON encodes the configuration.
func (c Config) MarshalJSON() ([]byte, error) {
	paths := configPaths{StateDir: []byte(c.StateDir), StoredDir: []byte(c.StoredDir), KernelPath: []byte(c.KernelPath)}
	for _, k := range c.Kernels {
		paths.Kernels = append(paths.Kernels, []byte(k))
	}
	return json.Marshal(struct {
		plainConfig
		configPaths
	}{plainConfig(c), paths})
}

// UnmarshalJSON decodes it.
func (c *Config) UnmarshalJSON(data []byte) error {
	var paths configPaths
	if err := json.Unmarshal(data, (*plainConfig)(c)); err != nil {
		return err
	}
	err := json.Unmarshal(data, &paths)
	c.StateDir, c.StoredDir, c.KernelPath, c.Kernels = string(paths.StateDir), string(paths.StoredDir), string(paths.KernelPath), nil
	for _, k := range paths.Kernels {
		c.Kernels = append(c.Kernels, string(k))
	}
	return err
}

// StartRequest starts a program. Argv, Env and Cwd are raw bytes. Stdio says for
// 0, 1 and 2 which of the frame's descriptors to use: a Stdio* constant and the
// descriptors follow in order.
type StartRequest struct {
	Program uint64   `json:"p"`
	Argv    [][]byte `json:"argv"`
	Env     [][]byte `json:"env,omitempty"`
	Cwd     []byte   `json:"cwd,omitempty"`
	Stdio   [3]Stdio `json:"stdio"`

	UID       uint32        `json:"uid,omitempty"`
	GID       uint32        `json:"gid,omitempty"`
	Groups    []uint32      `json:"groups,omitempty"`
	Umask     *uint32       `json:"umask,omitempty"` // nil: 022
	Rlimits   []Rlimit      `json:"rlimits,omitempty"`
	WallLimit time.Duration `json:"wall_limit_ns,omitempty"` // 0: none

	OutputLimit uint64 `json:"output_limit,omitempty"` // bytes of stdout and stderr; 0: none
}

// Rlimit is a resource limit with Linux's numbers.
type Rlimit struct {
	Resource uint32 `json:"resource"`
	Soft     uint64 `json:"soft"`
	Hard     uint64 `json:"hard"`
}

// Stdio is how one of a program's standard streams is made.
type Stdio uint8

// The kinds of stdio on the wire.
const (
	StdioNull  Stdio = 0 // no descriptor
	StdioOwn   Stdio = 1 // a descriptor that nobody else uses: may be donated
	StdioShare Stdio = 2 // a host program's descriptor: its flags must not change
	StdioPty   Stdio = 4 // all three: the first has the terminal's slave, which nobody else uses
	StdioLog   Stdio = 5 // no descriptor: the sandbox's log; stdout and stderr only
)

// StartReply tells the program's number in the sandbox, by which its log knows it.
type StartReply struct {
	Number uint64 `json:"n"`
}

// SignalRequest signals a program of this client.
type SignalRequest struct {
	Program uint64 `json:"p"`
	Signo   int    `json:"signo"`
}

// ResizeRequest gives the terminal of a program of this client a size.
type ResizeRequest struct {
	Program uint64 `json:"p"`
	Rows    uint32 `json:"rows"`
	Cols    uint32 `json:"cols"`
}

// StopRequest ends the sandbox: TERM, Grace, KILL. A negative Grace takes the
// sandbox's own. With IfAttached, the owner's close, a detached sandbox lives on.
type StopRequest struct {
	Grace      time.Duration `json:"grace_ns"`
	IfAttached bool          `json:"if_attached,omitempty"`
}

// StopReply tells whether the sandbox ends.
type StopReply struct {
	Ending bool `json:"ending"`
}

// DrainRequest refuses new programs; those that run get until Deadline
// (negative: for ever).
type DrainRequest struct {
	Deadline time.Duration `json:"deadline_ns"`
}

// AdoptRequest gives a sandbox that waits in a pool to its tenant: what depends on
// the tenant replaces what the configuration said. Its times begin now.
type AdoptRequest struct {
	Name        string         `json:"name"`
	Labels      []string       `json:"labels,omitempty"`
	IdleTimeout time.Duration  `json:"idle_ns,omitempty"`
	MaxDuration time.Duration  `json:"max_ns,omitempty"`
	Detached    bool           `json:"detached,omitempty"`
	Metrics     *metrics.Token `json:"metrics,omitempty"` // reserved slot; nil: none
}

// InfoReply is what a sandbox is and does now.
type InfoReply struct {
	State        uint32   `json:"state"`
	Engine       string   `json:"engine"`
	Attached     bool     `json:"attached"`
	Pooled       bool     `json:"pooled,omitempty"` // it waits in a pool
	Pid          int      `json:"pid"`
	Programs     int      `json:"programs"`
	MemoryBytes  uint64   `json:"memory_bytes"`
	OverlayBytes uint64   `json:"overlay_bytes"`
	CreatedMS    int64    `json:"created_unix_ms"`
	Receipt      []string `json:"receipt"`
	Limits       Limits   `json:"limits"`
}

// ExitedEvent tells how a program ended. Cause is an MSB_CAUSE_* number. Number is
// that of StartReply, which may be read later than the event.
type ExitedEvent struct {
	Program uint64        `json:"p"`
	Number  uint64        `json:"n,omitempty"`
	Cause   uint32        `json:"cause"`
	Code    int32         `json:"code"`
	Signal  int32         `json:"signal"`
	Wall    time.Duration `json:"wall_ns"`

	CPU        time.Duration `json:"cpu_ns"`                // negative: unknown
	MemoryPeak uint64        `json:"memory_peak,omitempty"` // bytes; 0: unknown
	Limits     uint32        `json:"limits,omitempty"`      // MSB_LIMIT_* met, those besides Cause
}

// EndedEvent tells how the sandbox ended.
type EndedEvent struct {
	Cause  uint32        `json:"cause"`
	Wall   time.Duration `json:"wall_ns"`
	Limits uint32        `json:"limits,omitempty"` // MSB_LIMIT_* met by its programs
}

// NewMessage makes a message around a body, which may be nil.
func NewMessage(t Type, id uint64, body any) (*Message, error) {
	m := &Message{Version: Protocol, Type: t, ID: id}
	if body == nil {
		return m, nil
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", t, err)
	}
	m.Body = raw
	return m, nil
}

// Decode parses a frame. What it accepts is of our version and has a type.
func Decode(frame []byte) (*Message, error) {
	if len(frame) > MaxMessage {
		return nil, fmt.Errorf("message of %d bytes, at most %d are allowed", len(frame), MaxMessage)
	}
	var m Message
	if err := json.Unmarshal(frame, &m); err != nil {
		return nil, fmt.Errorf("malformed message: %w", err)
	}
	if m.Version != Protocol {
		return nil, fmt.Errorf("message of protocol %d, this is %d: library and msb must be of one version", m.Version, Protocol)
	}
	if m.Type == "" {
		return nil, fmt.Errorf("message without a type")
	}
	return &m, nil
}

// Into decodes the body.
func (m *Message) Into(body any) error {
	if err := json.Unmarshal(m.Body, body); err != nil {
		return fmt.Errorf("malformed %s: %w", m.Type, err)
	}
	return nil
}
