package gvisor

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/libmicrosandbox/microsandbox/core/engine/idmap"
)

// idMap is the mapping of the sentry's and gofer's user namespace: ids 0 to
// size-1 inside are uid (gid) to uid+size-1 (gid+size-1) outside.
type idMap struct {
	uid, gid, size uint64
	note           string // for the receipt
}

func (m idMap) mappings() (uids, gids []specs.LinuxIDMapping) {
	one := func(host uint64) []specs.LinuxIDMapping {
		return []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(host), Size: uint32(m.size)}}
	}
	return one(m.uid), one(m.gid)
}

func hostIDs() (idmap.Source, error) { return idmap.Host() }

func chooseIDs(src idmap.Source, id string) (idMap, error) {
	m, err := idmap.Choose(src, id)
	return idMap{m.UID, m.GID, m.Size, m.Note}, err
}
