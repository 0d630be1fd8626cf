// Package mounts describes what a sandbox shows of the host beside its root,
// opens it, and stages single files for engines that can share directories only.
//
// The life of a mount: Validate checks and orders the descriptions, OpenAll
// opens each source once, in the process that was asked for it and with its
// rights; Pack and Unpack carry the open descriptors to the supervisor, which
// checks them again. From the opening on a source is its descriptor. No path is
// looked up a second time, so it does not matter what is renamed, replaced or
// unmounted afterwards.
package mounts

import "github.com/libmicrosandbox/microsandbox/core/fault"

// stage is where errors of mounts arise: they are part of the root that the
// guest sees.
const stage = fault.StageRoot
