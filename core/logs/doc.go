// Package logs keeps what the programs of a sandbox and its supervisor say:
// entries with source, program and time, in a few files of bounded size that one
// process writes and any number read. docs/logs.md describes the files; the stream
// that msb_logs_open gives has the same frames.
//
// The writer takes no lock that a reader has: files only grow, a frame counts once
// its checksum is right, and a full file is left for a new one. What a reader did
// not get is an entry too, which says how much.
package logs
