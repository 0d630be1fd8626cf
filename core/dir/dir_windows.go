package dir

import "os"

// Ref is a directory for calls relative to it: its path. The state directory and
// all below it belong to the user alone, so nobody else can put something in its
// place.
type Ref = string

// Of refers to an open directory.
func Of(f *os.File) Ref { return f.Name() }
