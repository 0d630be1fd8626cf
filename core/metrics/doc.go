// Package metrics is the registry of running sandboxes and their last samples:
// one file in the state root, in shared memory where that is a tmpfs, that every
// process of the user can read without asking anybody. docs/metrics.md has the
// layout, offset by offset.
//
// A launcher reserves a slot (Registry.Reserve) and hands the Token to the
// supervisor, which activates it (Registry.Activate), writes samples through the
// Writer and releases it (Writer.Release). A reservation that never became active
// is released by its launcher (Registry.ReleaseReserved); Registry.Free is for
// whoever has seen the supervisor end, Registry.Sweep for whatever is left of
// dead owners.
//
//	free ──Reserve──▶ reserved ──Activate──▶ active ──Release──▶ stale ──▶ free
//	  ▲──ReleaseReserved──┘                     └──Release, Free, Sweep──▲
//
// # Who excludes whom
//
// Changes of a slot's state are rare and take an exclusive flock on the file, for
// microseconds; the kernel gives it back when the holder dies. They are ordered
// such that a holder that dies between two of them leaves a slot that is free or
// can be reclaimed. Samples and reads take no lock: a writer waits for nobody,
// and no reader makes anybody wait.
//
// Every reservation has a new generation number, and so has every slot that
// becomes free, before it does. Whoever holds an older one is refused.
//
// # Who maps the file
//
// Only Writer, in the supervisor. A page of a mapped file that somebody truncates
// raises SIGBUS at the next access; the supervisor turns that into an error, but
// a host program's signal handling is not ours to change. So the library, which
// runs in host programs, uses pread and pwrite alone, for which truncation is a
// short read. POSIX promises no atomicity for them beside a mapping. It is not
// needed: a reader accepts what it copied only if its checksum, which covers the
// generation and the sample's number, is right, and if state and generation, read
// once more, are still the same. A mixture of two samples passes one time in 2^64.
// Two samples lie side by side and are written in turn, so that a writer that is
// stopped or killed in the middle of one leaves the one before whole.
package metrics
