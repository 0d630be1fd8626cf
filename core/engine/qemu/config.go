package qemu

import (
	"fmt"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// capabilities are those that the header promises to programs with uid 0: CHOWN,
// DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE,
// SYS_CHROOT and SETFCAP.
const capabilities = 1<<0 | 1<<1 | 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<18 | 1<<31

// rootSerial is the serial number of the root's disk.
const rootSerial = "root"

// disks are the disks of a machine and what the guest mounts.
type disks struct {
	list   []disk
	mounts []wire.Mount
	upper  *wire.Mount // the disk that takes the changes to the root; nil: memory does
}

// cfgDisks makes a disk of each image.
func cfgDisks(cfg engine.Config) (*disks, error) {
	d := &disks{}
	root := cfg.RootFile
	if root == nil {
		var err error
		if root, err = image.Open(cfg.Root); err != nil {
			return nil, err
		}
	}
	d.list = append(d.list, disk{serial: rootSerial, file: root, format: "raw", readOnly: true})
	for i, m := range cfg.Mounts {
		mount := wire.Mount{Flags: flags(m.Spec), Target: m.Spec.Target, SizeBytes: m.Spec.SizeBytes}
		switch m.Spec.Kind {
		case mounts.Tmpfs:
			mount.Kind = wire.MountTmpfs
		case mounts.EROFS:
			if err := image.CheckEROFS(m.File(), m.Spec.Source); err != nil {
				return nil, err
			}
			mount.Kind, mount.Type, mount.Source = wire.MountDisk, "erofs", fmt.Sprintf("mount%d", i)
			d.list = append(d.list, disk{serial: mount.Source, file: m.File(), format: "raw", readOnly: true})
		case mounts.Disk:
			mount.Kind, mount.Type, mount.Source = wire.MountDisk, "ext4", fmt.Sprintf("mount%d", i)
			format := "raw"
			if m.Spec.QCOW2 {
				format = "qcow2"
			}
			d.list = append(d.list, disk{serial: mount.Source, file: m.File(), format: format, readOnly: m.Spec.ReadOnly})
		default:
			return nil, fault.New(fault.Unsupported, fault.StageRoot, "%s: not a kind of mount that a microVM has", m.Spec)
		}
		if m.Spec.Target == "/" {
			mount.Target = ""
			d.upper = &mount
			continue
		}
		d.mounts = append(d.mounts, mount)
	}
	if len(d.list) > maxDisks {
		return nil, fault.New(fault.Limit, fault.StageRoot, "%d images, the root too: a microVM has at most %d", len(d.list), maxDisks)
	}
	return d, nil
}

func (d *disks) writable() bool {
	for _, one := range d.list {
		if !one.readOnly {
			return true
		}
	}
	return false
}

func flags(s mounts.Spec) (f uint8) {
	for flag, set := range map[uint8]bool{
		wire.ReadOnly: s.ReadOnly, wire.NoExec: s.NoExec, wire.NoSUID: s.NoSUID, wire.NoDev: true,
	} {
		if set {
			f |= flag
		}
	}
	return f
}

// config is what the agent makes of the guest.
func (d *disks) config(cfg engine.Config) *wire.Config {
	upper := wire.Mount{Kind: wire.MountTmpfs, Flags: wire.NoDev, SizeBytes: cfg.OverlayBytes}
	if d.upper != nil {
		upper = *d.upper
	}
	return &wire.Config{
		Root:         wire.Mount{Kind: wire.MountDisk, Flags: wire.ReadOnly | wire.NoDev, Source: rootSerial, Type: "erofs"},
		Upper:        upper,
		Mounts:       d.mounts,
		Capabilities: capabilities,
		Cwd:          "/",
		ShmBytes:     cfg.OverlayBytes,
		Processes:    cfg.Limits.Processes,
		OpenFiles:    cfg.Limits.OpenFiles,
	}
}
