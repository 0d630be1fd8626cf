package engine

import "github.com/libmicrosandbox/microsandbox/core/cgroup"

// Confined is a machine whose processes can be put into control groups of the host.
type Confined interface {
	// Confine moves what runs guest code, and nothing else, into a group, and
	// ends the machine with MemoryLimit when the group's memory is used up. The
	// group stays the caller's, who removes it after Close.
	Confine(g *cgroup.Group) error
}

// FixedMemory is a Confined machine whose memory limit needs no group: only limits of
// processor time get it one.
type FixedMemory interface{ FixedMemory() }
