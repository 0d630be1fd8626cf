package core

import (
	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// Kill ends a living sandbox of this user at once and takes away what it leaves. Its
// supervisor is not asked: one that is stopped or hangs, which Open cannot reach and
// which no sweep may end while it is nobody's, is ended too.
func Kill(name string, state State) error {
	if err := CheckName(name); err != nil {
		return err
	}
	path, err := state.Resolve()
	if err != nil {
		return err
	}
	root, err := store.OpenExistingRoot(path)
	if err != nil {
		return err
	}
	if root == nil {
		return store.NotFound(name, path)
	}
	defer root.Close()
	rec, folder, err := root.Find(name)
	if err != nil {
		return err
	}
	folder.Close()
	cfg := control.Config{Name: name, StateDir: path, Stored: rec.Stored}
	if rec.Stored {
		if cfg.StoredDir, err = state.ResolveStored(); err != nil {
			return err
		}
	}
	if err := root.End(name); err != nil {
		return err
	}
	handle.SweepMetrics(path)
	if note := killed(cfg); note != nil {
		note()
	}
	return nil
}
