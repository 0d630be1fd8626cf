// Package pid1 is the agent: the first process of a guest with a kernel of its own.
// docs/agent.md describes its protocol and what it makes of a booted kernel.
//
// It is one loop over epoll, on one locked thread, without locks: requests, streams
// and ends of programs are handled one after another and never wait. What can take
// long runs in a goroutine and posts its end to the loop. It uses system calls only
// (no os, no fmt), since its size and its initialization are part of each boot.
package pid1
