package gvisor

import (
	"fmt"
	"os"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// hostRoot makes the view of the host's toolchain. What is bound into it keeps
// its owners unmapped, so that the sandbox reads of it what everybody may read
// (without privileges: what the caller may).
func hostRoot(p paths, ids idMap, overlayBytes uint64) (*rootFS, error) {
	if err := os.Mkdir(p.host, 0o755); err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageRoot, "host root")
	}
	uid, gid := -1, -1
	if os.Geteuid() == 0 {
		uid, gid = int(ids.uid), int(ids.gid)
	}
	binds, err := image.MakeHost(p.host, uid, gid)
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(p.host)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageRoot, "host root")
	}
	r := &rootFS{cwd: image.HostWork, dir: dir, files: []*os.File{dir}}
	if err := r.attach(dir, p.host, ids, false); err != nil {
		r.close()
		return nil, err
	}
	for _, b := range binds {
		kind := "bind"
		if b.Recursive {
			kind = "rbind"
		}
		r.mounts = append(r.mounts, ociMount{
			Type: "bind", Source: b.Source, Destination: b.Target,
			Options: []string{kind, "ro", "nosuid", "nodev"},
		})
	}
	r.mounts = append(r.mounts, tmpMount(overlayBytes))
	r.notes = []string{"root: skeleton in memory, read-only view of the host's toolchain"}
	return r, nil
}

// tmpMount is a /tmp with a size limit; gVisor's own would have none.
func tmpMount(overlayBytes uint64) ociMount {
	return ociMount{Type: "tmpfs", Destination: "/tmp",
		Options: []string{"nosuid", "nodev", "mode=1777", fmt.Sprintf("size=%d", overlayBytes)}}
}
