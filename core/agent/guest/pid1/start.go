package pid1

import (
	"syscall"

	"golang.org/x/sys/unix"

	launcher "github.com/libmicrosandbox/microsandbox/core/engine/gvisor/guest"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// Stages of a failure, as MSB_STAGE_* has them.
const (
	stageRoot  = 5
	stageExec  = 8
	stageStdio = 10
)

// Open files of a program that names no limit: those of a usual login.
const (
	softFiles = 1024
	hardFiles = 65536
)

// newLauncher returns an executable memfd with the launcher of core/engine/gvisor/guest,
// which sets umask and limits, changes directory, looks up the program and executes it.
func newLauncher() (int, error) {
	fd, err := memfd("launcher", launcher.Launcher)
	if err != nil {
		return -1, err
	}
	// Programs' descriptors are moved to 0 to 4: it must not be among them.
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 64)
	unix.Close(fd)
	return high, err
}

func memfd(name string, data []byte) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
		data = data[n:]
	}
	_, err = unix.Seek(fd, 0, 0)
	return fd, err
}

// start starts a program. Its reply comes when the launcher has executed it, or says
// why it could not.
func (a *Agent) start(id uint32, payload []byte) error {
	m, err := wire.DecodeStart(payload)
	if err != nil {
		return err
	}
	if a.programs[m.Program] != nil {
		return wire.Error("number of a program is in use")
	}
	if !a.configured || len(a.programs) >= wire.MaxPrograms {
		a.refuse(id, unix.EAGAIN, 0, "not configured, or too many programs")
		return nil
	}
	for i, l := range m.Rlimits {
		if l.Resource == unix.RLIMIT_NOFILE && l.Hard > a.files {
			refusal := wire.Reply{Errno: uint32(unix.EPERM), Stage: wire.StageRlimit, Index: uint16(i)}
			a.port.frame(wire.Header{Kind: wire.KindReply, ID: id}, refusal.Append)
			return nil
		}
	}
	p := &program{a: a, id: m.Program, request: id, status: -1, terminal: -1}
	fds, stage, err := p.spawn(m)
	for _, fd := range fds {
		unix.Close(fd)
	}
	if err != nil {
		p.discard()
		a.refuse(id, err, stage, "")
		return nil
	}
	a.programs[p.id] = p
	if a.kill.direct() {
		a.byPID[p.pid] = p
	}
	select {
	case a.forked <- struct{}{}:
	default:
	}
	return nil
}

// spawn makes the program's process. The descriptors that it returns are its, to be
// closed here.
func (p *program) spawn(m *wire.Start) (fds []int, stage uint16, err error) {
	fds, err = p.openStreams(m)
	if err != nil {
		return fds, stageStdio, err
	}
	if m.Cwd == "" {
		m.Cwd = p.a.cwd
	}
	request, err := memfd("request", p.a.encodeRequest(m))
	if err != nil {
		return fds, stageExec, err
	}
	fds = append(fds, request)
	var status [2]int
	if err := unix.Pipe2(status[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fds, stageExec, err
	}
	fds = append(fds, status[1])
	if p.family, err = p.a.kill.newFamily(p.id); err != nil {
		unix.Close(status[0])
		return fds, stageExec, err
	}
	p.status = status[0]
	p.pid, err = p.family.fork(p.a.launcher, fds, credential(m), m.Terminal != nil)
	if err != nil {
		p.family.ended()
		return fds, stageExec, err
	}
	return fds, 0, p.a.poll.watch(p.status, unix.EPOLLIN, func(uint32) { p.launched() })
}

// attributes are those of a process that executes the launcher with descriptors 0 to 4.
func attributes(fds []int, who syscall.Credential, terminal bool) *syscall.ProcAttr {
	attr := &syscall.ProcAttr{Dir: "/", Sys: &syscall.SysProcAttr{Setsid: true, Setctty: terminal, Credential: &who}}
	for _, fd := range fds {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	return attr
}

func credential(m *wire.Start) syscall.Credential {
	return syscall.Credential{
		Uid: m.UID, Gid: m.GID, Groups: m.Groups,
		NoSetGroups: len(m.Groups) == 0 && !canSetGroups(),
	}
}

// encodeRequest is the launcher's request: see its launcher.c.
func (a *Agent) encodeRequest(m *wire.Start) []byte {
	limits := m.Rlimits
	if !limited(limits, unix.RLIMIT_NOFILE) {
		limits = append(limits[:len(limits):len(limits)], wire.Rlimit{Resource: unix.RLIMIT_NOFILE, Soft: min(softFiles, a.files), Hard: a.files})
	}
	text := append([]byte(m.Cwd), 0)
	for _, list := range [][]string{m.Argv, m.Env} {
		for _, s := range list {
			text = append(append(text, s...), 0)
		}
	}
	var out []byte
	for _, n := range []uint32{uint32(len(m.Argv)), uint32(len(m.Env)), uint32(len(text)), m.Umask, uint32(len(limits)), 0} {
		out = le.AppendUint32(out, n)
	}
	for _, l := range limits {
		out = le.AppendUint64(out, uint64(l.Resource))
		out = le.AppendUint64(out, l.Soft)
		out = le.AppendUint64(out, l.Hard)
	}
	return append(out, text...)
}

func limited(limits []wire.Rlimit, resource uint32) bool {
	for _, l := range limits {
		if l.Resource == resource {
			return true
		}
	}
	return false
}

// launched answers the request: end of file from the launcher means that it has
// executed the program.
func (p *program) launched() {
	var buf [8]byte
	n, err := unix.Read(p.status, buf[:])
	if err == unix.EAGAIN || err == unix.EINTR {
		if !p.ended {
			return
		}
		n = 0
	}
	p.a.poll.unwatch(p.status)
	unix.Close(p.status)
	p.status = -1
	if n == len(buf) {
		stage := le.Uint32(buf[:])
		m := wire.Reply{Errno: le.Uint32(buf[4:]), Stage: uint16(stage), Index: uint16(stage >> 16)}
		p.a.port.frame(wire.Header{Kind: wire.KindReply, ID: p.request}, m.Append)
		p.discard()
		return
	}
	started := wire.Started{PID: uint32(p.family.pid(p.pid))}
	p.a.reply(p.request, started.Append(nil))
	if p.input != nil {
		p.input.live = true
		p.input.watch()
	}
	for _, o := range p.outputs {
		if o != nil {
			o.live = true
			o.watch()
		}
	}
}

// discard ends a program that never ran. The host knows nothing of it.
func (p *program) discard() {
	p.exited = true
	if p.status >= 0 {
		p.a.poll.unwatch(p.status)
		unix.Close(p.status)
		p.status = -1
	}
	if p.input != nil {
		p.input.close()
	}
	for _, o := range p.outputs {
		if o != nil {
			o.close()
		}
	}
	p.forgetIfDone()
}
