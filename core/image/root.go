// Package image describes and prepares root file systems.
package image

import "encoding/json"

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
	Kind Kind
	Path string // absolute; empty for Host
}

// wireRoot keeps every byte of the path: a JSON string would replace what is not
// UTF-8.
type wireRoot struct {
	Kind Kind   `json:"kind"`
	Path []byte `json:"path,omitempty"`
}

// MarshalJSON encodes the root.
func (r Root) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireRoot{r.Kind, []byte(r.Path)})
}

// UnmarshalJSON decodes the root.
func (r *Root) UnmarshalJSON(data []byte) error {
	var w wireRoot
	err := json.Unmarshal(data, &w)
	*r = Root{Kind: w.Kind, Path: string(w.Path)}
	return err
}
