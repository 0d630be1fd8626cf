// Package job is the engine of Windows: programs of the host in a job object, with
// limits of memory, processes and processor time, and a token without privileges.
//
// It is resource control and no wall: a program runs on the host's own Windows, as the
// user, with the user's files and network. It is never chosen unless it is named.
//
// The machine is one job, which holds one job for each program. The supervisor has the
// only handles, and both kill on close: when it dies, so does all that it started.
package job
