//go:build unix

package dir

import "os"

// Ref is a directory for calls relative to it: an open descriptor.
type Ref = int

// Of refers to an open directory, for as long as it is open.
func Of(f *os.File) Ref { return int(f.Fd()) }
