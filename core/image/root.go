// Package image describes and prepares root file systems.
package image

// Kind is an MSB_ROOT_* number.
type Kind uint32

// The kinds of root file system.
const (
	Host  Kind = 0 // a read-only view of the host's toolchain
	Dir   Kind = 1 // a directory under a writable overlay in memory
	EROFS Kind = 2 // an EROFS image under a writable overlay in memory
)

// Root is a root file system as the caller asked for it.
type Root struct {
	Kind Kind   `json:"kind"`
	Path string `json:"path,omitempty"` // absolute; empty for Host
}
