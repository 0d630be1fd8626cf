package main

import "runtime/debug"

// gcPercent keeps the heap of a library that lives in somebody's process close to
// what is in use: the default lets it grow to 4 MB before the first collection,
// and a host would see that as a leak.
const gcPercent = 20

func init() { debug.SetGCPercent(gcPercent) }
