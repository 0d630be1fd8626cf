package core

import (
	"os"
	"slices"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// openMounts opens the sources of a sandbox's mounts, once, and puts them into the
// configuration. Whatever their paths lead to later, what was opened is what is
// mounted. Opening blocks as long as the source's file system does.
func openMounts(cfg *control.Config, specs []mounts.Spec) error {
	cfg.Mounts, cfg.MountFiles = nil, nil
	specs = slices.Clone(specs)
	for i := range specs {
		if err := absolute(&specs[i].Source); err != nil {
			return err
		}
	}
	sources, err := mounts.OpenAll(specs)
	if err != nil {
		return err
	}
	cfg.Mounts, cfg.MountFiles = mounts.Pack(sources)
	return nil
}

// absolute puts the working directory before a relative path, and leaves the rest
// as it is: ".." after a link is not where its text says.
func absolute(path *string) error {
	if *path == "" || (*path)[0] == '/' {
		return nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return fault.Wrap(err, fault.IO, fault.StageArgument, "mounts: working directory")
	}
	*path = dir + "/" + *path
	return nil
}
