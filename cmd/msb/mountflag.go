package main

import (
	"fmt"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// mountFlag is bind:, erofs: or disk:SOURCE:TARGET, or tmpfs:TARGET, each with
// further options behind another colon. It may be given again.
type mountFlag []mounts.Spec

func (m *mountFlag) String() string { return "" }

func (m *mountFlag) Set(text string) error {
	kind, rest, _ := strings.Cut(text, ":")
	var spec mounts.Spec
	switch kind {
	case "bind":
		spec.Kind = mounts.Bind
	case "tmpfs":
		spec.Kind = mounts.Tmpfs
	case "erofs":
		spec.Kind = mounts.EROFS
	case "disk":
		spec.Kind = mounts.Disk
	default:
		return fmt.Errorf("%q is not bind:SOURCE:TARGET, tmpfs:TARGET, erofs:SOURCE:TARGET or disk:SOURCE:TARGET", text)
	}
	parts := strings.Split(rest, ":")
	if spec.Kind != mounts.Tmpfs {
		spec.Source, parts = parts[0], parts[1:]
	}
	if len(parts) < 1 || len(parts) > 2 {
		return fmt.Errorf("%q is not KIND:SOURCE:TARGET[:OPTIONS] or tmpfs:TARGET[:OPTIONS]; no path may hold a colon", text)
	}
	spec.Target = parts[0]
	if len(parts) == 2 {
		if err := mountOptions(&spec, parts[1]); err != nil {
			return err
		}
	}
	*m = append(*m, spec)
	return nil
}

func mountOptions(spec *mounts.Spec, list string) error {
	for _, option := range strings.Split(list, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "ro":
			spec.ReadOnly = true
		case "rw":
			spec.ReadOnly = false
		case "noexec":
			spec.NoExec = true
		case "nosuid":
			spec.NoSUID = true
		case "nodev":
			spec.NoDev = true
		case "qcow2":
			spec.QCOW2 = true
		case "size":
			var bytes size
			if err := bytes.Set(value); err != nil {
				return err
			}
			spec.SizeBytes = uint64(bytes)
		default:
			return fmt.Errorf("mount option %q is not ro, rw, noexec, nosuid, nodev, qcow2 or size=SIZE", option)
		}
	}
	return nil
}
