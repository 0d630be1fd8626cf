package gvisor

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine/idmap"
)

// idMap is the mapping of the sentry's and gofer's user namespace: ids 0 to
// size-1 inside are uid (gid) to uid+size-1 (gid+size-1) outside.
type idMap struct {
	uid, gid, size uint64
	note           string // for the receipt
}

func (m idMap) mappings() (uids, gids []ociIDMapping) {
	one := func(host uint64) []ociIDMapping {
		return []ociIDMapping{{ContainerID: 0, HostID: uint32(host), Size: uint32(m.size)}}
	}
	return one(m.uid), one(m.gid)
}

func hostIDs() (idmap.Source, error) { return idmap.Host() }

func chooseIDs(src idmap.Source, id string) (idMap, error) {
	m, err := idmap.Choose(src, id)
	return idMap{m.UID, m.GID, m.Size, m.Note}, err
}

// system is the mapping as a process is started with it.
func (m idMap) system() (uids, gids []syscall.SysProcIDMap) {
	one := func(host uint64) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(host), Size: int(m.size)}}
	}
	return one(m.uid), one(m.gid)
}

// newUserns returns a user namespace with the given mapping. The process that
// it is made with is killed before it runs anything.
func newUserns(ids idMap) (*os.File, error) {
	uids, gids := ids.system()
	pid, err := syscall.ForkExec(self, []string{wire.UsernsName}, &syscall.ProcAttr{
		Env: []string{},
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER, UidMappings: uids, GidMappings: gids, Pdeathsig: unix.SIGKILL,
		},
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		unix.Kill(pid, unix.SIGKILL)
		reap(pid)
	}()
	return os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
}
