package core

import (
	"crypto/rand"
	"encoding/hex"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/logs"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// Engine is an MSB_ENGINE_* number.
type Engine uint32

// The engines.
const (
	EngineAuto   Engine = 0
	EngineGvisor Engine = 1
	EngineQEMU   Engine = 2
	EngineTCG    Engine = 3
	EngineJob    Engine = 4 // Windows; limits and no wall
)

// engineNames are the labels that supervisors know.
var engineNames = map[Engine]string{EngineAuto: "", EngineGvisor: "gvisor", EngineQEMU: "qemu", EngineTCG: "qemu-tcg", EngineJob: "job"}

// String is the label that supervisors know; "" is AUTO, or no engine.
func (e Engine) String() string { return engineNames[e] }

// State says where sandboxes keep their state.
type State = store.Location

// Options describes a sandbox. The zero value is a useful one; the header's table
// says what each zero means.
type Options struct {
	Name         string
	MsbPath      string
	LibraryDir   string // where msb is looked for when MsbPath is empty
	State        State
	Engine       Engine
	Root         image.Root
	MemoryBytes  uint64
	OverlayBytes uint64
	StartTimeout time.Duration
	StopGrace    time.Duration // negative: none
	Detached     bool          // live on without this process from the successful start on
	Stored       bool          // keep the configuration under the name
	Replace      bool          // end and forget a sandbox that has the name
	ReplaceGrace time.Duration // for that one's programs
	Labels       []string      // NAME=VALUE
	IdleTimeout  time.Duration // 0: none
	MaxDuration  time.Duration // 0: none
	SampleEvery  time.Duration // interval of metrics; negative: none
	Mounts       []mounts.Spec
	LogMaxBytes  uint64 // of each of the log's files, of which there are up to four
	KernelPath   string // of microVMs; empty: the default
	Limits       Limits
}

// Limits and defaults, as the header states them.
const (
	MaxName          = 128 // bytes
	DefaultMemory    = 512 << 20
	MinMemory        = 64 << 20
	MaxMemory        = 1 << 50
	MinOverlay       = 1 << 20
	DefaultStart     = 30 * time.Second
	DefaultStopGrace = 2 * time.Second
	DefaultReplace   = 10 * time.Second
	DefaultSample    = time.Second
	MinSample        = 10 * time.Millisecond
	MaxLabels        = 1000 // bytes of all labels, with a separator each
	MaxTimeout       = 365 * 24 * time.Hour
)

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fault.StageArgument, format, args...)
}

// config validates the options and completes them.
func (o Options) config() (control.Config, error) {
	cfg := control.Config{
		Protocol: control.Protocol, Name: o.Name, Root: o.Root,
		MemoryBytes: o.MemoryBytes, OverlayBytes: o.OverlayBytes, StopGrace: o.StopGrace, BootTimeout: o.StartTimeout,
		Detached: o.Detached, Labels: o.Labels, Limits: o.Limits,
	}
	var err error
	if cfg.ID, err = randomHex(12); err != nil {
		return cfg, err
	}
	if cfg.Name == "" {
		cfg.Name = "msb-" + cfg.ID[:12]
	}
	if err := CheckName(cfg.Name); err != nil {
		return cfg, err
	}
	name, ok := engineNames[o.Engine]
	if !ok {
		return cfg, invalid("engine %d: unknown", o.Engine)
	}
	cfg.Engine = name
	if err := completeRoot(&cfg.Root); err != nil {
		return cfg, err
	}
	if err := completeSizes(&cfg); err != nil {
		return cfg, err
	}
	if err := checkLimits(&cfg); err != nil {
		return cfg, err
	}
	if cfg.BootTimeout, err = timeout("start_timeout_ms", o.StartTimeout, DefaultStart); err != nil {
		return cfg, err
	}
	if cfg.StopGrace == 0 {
		cfg.StopGrace = DefaultStopGrace
	}
	if cfg.StopGrace > MaxTimeout {
		return cfg, invalid("stop_grace_ms: %v is more than a year", cfg.StopGrace)
	}
	if err := o.completeLife(&cfg); err != nil {
		return cfg, err
	}
	return cfg, o.places(&cfg)
}

// completeLife validates what decides how long a sandbox lives and is kept.
func (o Options) completeLife(cfg *control.Config) error {
	var err error
	if cfg.IdleTimeout, err = timeout("idle_timeout_ms", o.IdleTimeout, 0); err != nil {
		return err
	}
	if cfg.MaxDuration, err = timeout("max_duration_ms", o.MaxDuration, 0); err != nil {
		return err
	}
	switch {
	case o.SampleEvery == 0:
		cfg.SampleEvery = DefaultSample
	case o.SampleEvery > MaxTimeout || o.SampleEvery > 0 && o.SampleEvery < MinSample:
		return invalid("metrics_interval_ms: %v is not between %v and a year", o.SampleEvery, MinSample)
	case o.SampleEvery > 0:
		cfg.SampleEvery = o.SampleEvery
	}
	cfg.LogMaxBytes = o.LogMaxBytes
	if cfg.LogMaxBytes == 0 {
		cfg.LogMaxBytes = logs.DefaultFileBytes
	}
	if cfg.LogMaxBytes < logs.MinFileBytes || cfg.LogMaxBytes > logs.MaxFileBytes {
		return invalid("log_max_bytes %d: between %d (64 KiB) and %d (1 TiB)", o.LogMaxBytes, uint64(logs.MinFileBytes), uint64(logs.MaxFileBytes))
	}
	if o.Name == "" && (o.Stored || o.Replace) {
		return invalid("name: needed to store or replace a sandbox")
	}
	return CheckLabels(o.Labels)
}

// places finds the directories.
func (o Options) places(cfg *control.Config) (err error) {
	cfg.Stored = o.Stored
	if cfg.StoredDir, err = o.State.ResolveStored(); err != nil {
		return err
	}
	if o.KernelPath != "" && o.Engine == EngineGvisor {
		return invalid("kernel_path %q: engine gvisor has a kernel of its own", o.KernelPath)
	}
	if o.KernelPath != "" {
		if cfg.KernelPath, err = filepath.Abs(o.KernelPath); err != nil {
			return fault.Wrap(err, fault.IO, fault.StageEngine, "kernel_path")
		}
	}
	cfg.Kernels = o.State.Kernels()
	cfg.StateDir, err = o.State.Resolve()
	return err
}

// CheckLabels says whether labels are ones that a sandbox can have.
func CheckLabels(labels []string) error {
	size := 0
	for _, l := range labels {
		size += len(l) + 1
		if strings.IndexByte(l, '=') < 1 || !utf8.ValidString(l) || strings.ContainsFunc(l, unicode.IsControl) {
			return invalid("label %q: must be NAME=VALUE in UTF-8 without control characters", l)
		}
	}
	if size > MaxLabels {
		return invalid("labels: %d bytes, at most %d are allowed", size, MaxLabels)
	}
	return nil
}

func completeSizes(cfg *control.Config) error {
	if cfg.MemoryBytes == 0 {
		cfg.MemoryBytes = DefaultMemory
	}
	if cfg.MemoryBytes < MinMemory || cfg.MemoryBytes > MaxMemory {
		return invalid("memory_bytes %d: between %d (64 MiB) and %d", cfg.MemoryBytes, uint64(MinMemory), uint64(MaxMemory))
	}
	if cfg.OverlayBytes == 0 {
		cfg.OverlayBytes = cfg.MemoryBytes / 2
	}
	if cfg.OverlayBytes < MinOverlay || cfg.OverlayBytes > cfg.MemoryBytes {
		return invalid("overlay_bytes %d: between %d (1 MiB) and memory_bytes, %d", cfg.OverlayBytes, uint64(MinOverlay), cfg.MemoryBytes)
	}
	return nil
}

// completeRoot makes the path absolute: the supervisor's directory is not ours.
func completeRoot(r *image.Root) error {
	switch r.Kind {
	case image.Host:
		if r.Path != "" {
			return invalid("root_path %q: must be NULL with MSB_ROOT_HOST", r.Path)
		}
		return nil
	case image.Dir, image.EROFS:
		if r.Path == "" {
			return invalid("root_path: needed with this root_kind")
		}
		if len(r.Path) > 4095 {
			return invalid("root_path is %d bytes long, at most 4095 are possible", len(r.Path))
		}
		abs, err := filepath.Abs(r.Path)
		if err != nil {
			return fault.Wrap(err, fault.IO, fault.StageRoot, "root_path")
		}
		r.Path = abs
		return nil
	}
	return invalid("root_kind %d: unknown", r.Kind)
}

func timeout(what string, d, otherwise time.Duration) (time.Duration, error) {
	switch {
	case d == 0:
		return otherwise, nil
	case d < 0 || d > MaxTimeout:
		return 0, invalid("%s: %v is not between 0 and a year", what, d)
	}
	return d, nil
}

// CheckName says whether a name is one that a sandbox can have.
func CheckName(name string) error {
	switch {
	case name == "":
		return invalid("name: empty")
	case len(name) > MaxName:
		return invalid("name: %d bytes long, at most %d are allowed", len(name), MaxName)
	case !utf8.ValidString(name):
		return invalid("name %q: not UTF-8", name)
	case name == "." || name == "..":
		return invalid("name %q: not allowed", name)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r == '/' || unicode.IsControl(r) }) {
		return invalid("name %q: no '/' and no control characters are allowed", name)
	}
	return nil
}

func randomHex(n int) (string, error) {
	buf := make([]byte, n)
	if _, err := rand.Read(buf); err != nil {
		return "", fault.Wrap(err, fault.IO, fault.NoStage, "random id")
	}
	return hex.EncodeToString(buf), nil
}
