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
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// Engine is an MSB_ENGINE_* number.
type Engine uint32

// The engines.
const (
	EngineAuto   Engine = 0
	EngineGvisor Engine = 1
)

// engineNames are the labels that supervisors know.
var engineNames = map[Engine]string{EngineAuto: "", EngineGvisor: "gvisor"}

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
	if cfg.BootTimeout, err = timeout("start_timeout_ms", o.StartTimeout, DefaultStart); err != nil {
		return cfg, err
	}
	if cfg.StopGrace == 0 {
		cfg.StopGrace = DefaultStopGrace
	}
	if cfg.StopGrace > MaxTimeout {
		return cfg, invalid("stop_grace_ms: %v is more than a year", cfg.StopGrace)
	}
	cfg.StateDir, err = o.State.Resolve()
	return cfg, err
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
