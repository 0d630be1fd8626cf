package store

import "github.com/libmicrosandbox/microsandbox/core/process"

// Process is how a record names a process.
type Process = process.ID

// Record is what a supervisor writes about its sandbox.
type Record struct {
	Version      int       `json:"version"`
	Name         string    `json:"name"`
	ID           string    `json:"id"`
	BootID       string    `json:"boot_id"`
	Supervisor   Process   `json:"supervisor"`
	Owner        Process   `json:"owner"` // Pid 0 when detached
	Children     []Process `json:"children,omitempty"`
	Engine       string    `json:"engine,omitempty"`
	State        uint32    `json:"state"`
	CreatedMS    int64     `json:"created_unix_ms"`
	MemoryBytes  uint64    `json:"memory_bytes"`
	OverlayBytes uint64    `json:"overlay_bytes"`
	Labels       []string  `json:"labels,omitempty"`
	Stored       bool      `json:"stored,omitempty"`
	// Cgroups are the control groups that the sandbox has, or is about to make.
	Cgroups   []string `json:"cgroups,omitempty"`
	Pooled    bool     `json:"pooled,omitempty"`    // it waits in a pool for its tenant
	Momentary bool     `json:"momentary,omitempty"` // no sandbox: somebody holds the name for a few steps
}

// living reports whether a record is that of a sandbox whose supervisor lives. One
// that has just been killed is swept by somebody at this moment, perhaps.
func (r Record) living() bool { return !r.Momentary && r.Supervisor.Alive() }

// recordVersion is the version of Record on disk.
const recordVersion = 1

// Finding is one thing that the library made and that exists.
type Finding struct {
	Kind   string // "supervisor", "engine", "directory", "mount", "cgroup", "process", "stored"
	Detail string
	Orphan bool // belongs to no living sandbox: a leak
}
