// Package jail starts a program of the host behind walls of its own: user, mount, pid,
// network, ipc, uts and cgroup namespaces, a root directory in which nothing but the
// host's /usr is, read-only, no capabilities, no way to gain any, no descriptors but
// those that it is given, resource limits, and an end with the process that started it.
//
// The work is done in two steps. Start clones a process into the namespaces, which runs
// this binary again (see Main): it builds the root directory, gives up what it may, and
// executes the program in its own place.
package jail

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine/idmap"
)

// stageName is argv[0] of the first step.
const stageName = "msb-jail"

// Program is what Start runs.
type Program struct {
	Path string   // below /usr
	Args []string // with argv[0]
	// Files become descriptors FirstFD, FirstFD+1, … of the program.
	Files []*os.File
	// Devices are paths below /dev, and which of Files a link there leads to; -1 shows
	// the host's device.
	Devices map[string]int
	// Stderr is the program's standard error; its input and output are /dev/null.
	Stderr *os.File
	Limits []Limit
	IDs    idmap.Map
}

// Limit is a resource limit, soft and hard.
type Limit struct {
	Resource int    `json:"resource"`
	Value    uint64 `json:"value"`
}

// Descriptors of the first step, and the first of the program's own.
const (
	specFD  = 3
	ownerFD = 4
	// FirstFD is the number of the first of Program.Files.
	FirstFD = 5
)

// spec is what the first step is told.
type spec struct {
	Path    string         `json:"path"`
	Args    []string       `json:"args"`
	Files   int            `json:"files"`
	Devices map[string]int `json:"devices"`
	Limits  []Limit        `json:"limits"`
}

// Start starts the program. It is the caller's child, pid 1 of its pid namespace, and
// dies with the calling process. The files stay the caller's.
func Start(p Program) (*exec.Cmd, error) {
	data, err := json.Marshal(spec{p.Path, p.Args, len(p.Files), p.Devices, p.Limits})
	if err != nil {
		return nil, err
	}
	config, err := memfd("jail", data)
	if err != nil {
		return nil, err
	}
	defer config.Close()
	owner, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	ownerFile := os.NewFile(uintptr(owner), "pidfd")
	defer ownerFile.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{stageName}, Env: []string{"LC_ALL=C"}, Dir: "/", Stderr: p.Stderr,
		ExtraFiles:  append([]*os.File{config, ownerFile}, p.Files...),
		SysProcAttr: attributes(p.IDs),
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process in namespaces of its own: %w", err)
	}
	return cmd, nil
}

func attributes(ids idmap.Map) *syscall.SysProcAttr {
	one := func(id uint64) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(id), Size: 1}}
	}
	groups := idmap.DropsGroups()
	return &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
			unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
		UidMappings: one(ids.UID), GidMappings: one(ids.GID),
		GidMappingsEnableSetgroups: groups,
		// Without root the groups stay: /dev/kvm is often reached through one.
		Credential: &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: !groups},
		Setsid:     true,
		Pdeathsig:  unix.SIGKILL,
	}
}

// memfd is a sealed file in memory.
func memfd(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(data, 0); err != nil {
		f.Close()
		return nil, err
	}
	unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	return f, nil
}
