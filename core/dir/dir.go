// Package dir says how a directory that is open already is handed on: as a
// descriptor where calls relative to one exist, else as its path.
package dir
