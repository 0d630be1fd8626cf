package wire

// Kinds of a program's standard streams.
const (
	StdioNull uint8 = 0 // /dev/null of the guest
	StdioPipe uint8 = 1 // a stream
)

// Unchanged is an umask that is the agent's own, 022.
const Unchanged = ^uint32(0)

// Start asks for a program, whose number is the frame's id for streams and events.
// The host never uses a number twice.
type Start struct {
	Program  uint32
	UID, GID uint32
	Umask    uint32 // or Unchanged
	Groups   []uint32
	Rlimits  []Rlimit
	Stdio    [3]uint8 // with a terminal: not used
	// Terminal gives the program a controlling terminal as 0, 1 and 2: stream 0 is
	// its input, 1 its output. There is no stream 2.
	Terminal *Size
	Cwd      string   // "" is that of the Config
	Argv     []string // at least one
	Env      []string
}

// Rlimit is a resource limit with Linux's numbers.
type Rlimit struct {
	Resource   uint32
	Soft, Hard uint64
}

// Size is that of a terminal, in characters.
type Size struct {
	Rows, Cols uint16
}

// Append appends the payload.
func (m *Start) Append(b []byte) []byte {
	for _, n := range []uint32{m.Program, m.UID, m.GID, m.Umask} {
		b = le.AppendUint32(b, n)
	}
	b = append(b, m.Stdio[:]...)
	if m.Terminal == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = m.Terminal.append(b)
	}
	b = le.AppendUint32(b, uint32(len(m.Groups)))
	for _, g := range m.Groups {
		b = le.AppendUint32(b, g)
	}
	b = le.AppendUint32(b, uint32(len(m.Rlimits)))
	for _, l := range m.Rlimits {
		b = le.AppendUint32(b, l.Resource)
		b = le.AppendUint64(le.AppendUint64(b, l.Soft), l.Hard)
	}
	b = appendText(b, m.Cwd)
	return appendTexts(appendTexts(b, m.Argv), m.Env)
}

// DecodeStart decodes the payload.
func DecodeStart(payload []byte) (*Start, error) {
	r := &reader{b: payload}
	m := &Start{Program: r.u32(), UID: r.u32(), GID: r.u32(), Umask: r.u32()}
	copy(m.Stdio[:], r.take(3))
	switch r.u8() {
	case 0:
	case 1:
		size := r.size()
		m.Terminal = &size
	default:
		r.fail("terminal is 0 or 1")
	}
	for range r.count(MaxGroups, 4) {
		m.Groups = append(m.Groups, r.u32())
	}
	for range r.count(MaxRlimits, 20) {
		m.Rlimits = append(m.Rlimits, Rlimit{r.u32(), r.u64(), r.u64()})
	}
	m.Cwd = r.path(MaxHostFrame)
	m.Argv = r.texts()
	m.Env = r.texts()
	if err := r.end(); err != nil {
		return nil, err
	}
	return m, m.check()
}

func (m *Start) check() error {
	switch {
	case m.Program == 0:
		return Error("program 0")
	case len(m.Argv) == 0:
		return Error("argv is empty")
	case m.Cwd != "" && m.Cwd[0] != '/':
		return Error("working directory is not absolute")
	case m.Umask != Unchanged && m.Umask > 0o777:
		return Error("umask above 0777")
	case max(m.Stdio[0], m.Stdio[1], m.Stdio[2]) > StdioPipe:
		return Error("unknown kind of standard stream")
	}
	return nil
}

func appendTexts(b []byte, list []string) []byte {
	b = le.AppendUint32(b, uint32(len(list)))
	for _, s := range list {
		b = appendText(b, s)
	}
	return b
}

func (r *reader) texts() []string {
	n := r.count(MaxArgs, 4)
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, r.path(MaxHostFrame))
	}
	return list
}

func (s Size) append(b []byte) []byte { return le.AppendUint16(le.AppendUint16(b, s.Rows), s.Cols) }

func (r *reader) size() Size { return Size{r.u16(), r.u16()} }

// Started is the body of the reply to Start.
type Started struct {
	PID uint32 // in the guest
}

// Append appends the body.
func (m *Started) Append(b []byte) []byte { return le.AppendUint32(b, m.PID) }

// DecodeStarted decodes the body.
func DecodeStarted(body []byte) (Started, error) {
	r := &reader{b: body}
	m := Started{r.u32()}
	return m, r.end()
}

// Whom a Signal reaches.
const (
	ToProcess    uint8 = 0 // the program's own process; with SIGKILL all that it started, too
	ToForeground uint8 = 1 // the foreground process group of its terminal
)

// Signal is the payload of KindSignal and KindSignalAll.
type Signal struct {
	Program uint32 // 0 with KindSignalAll
	Signo   uint8  // 1 to 64
	Scope   uint8
}

// Append appends the payload.
func (m *Signal) Append(b []byte) []byte {
	return append(le.AppendUint32(b, m.Program), m.Signo, m.Scope)
}

// DecodeSignal decodes the payload.
func DecodeSignal(payload []byte) (Signal, error) {
	r := &reader{b: payload}
	m := Signal{r.u32(), r.u8(), r.u8()}
	if r.err == nil && (m.Signo == 0 || m.Signo > 64 || m.Scope > ToForeground) {
		r.fail("no such signal")
	}
	return m, r.end()
}

// Resize sets the size of a program's terminal.
type Resize struct {
	Program uint32
	Size
}

// Append appends the payload.
func (m *Resize) Append(b []byte) []byte { return m.Size.append(le.AppendUint32(b, m.Program)) }

// DecodeResize decodes the payload.
func DecodeResize(payload []byte) (Resize, error) {
	r := &reader{b: payload}
	m := Resize{r.u32(), r.size()}
	return m, r.end()
}

// Exited tells a program's end. What it wrote before lies within the first Written
// bytes of its streams 1 and 2: the rest is of processes that it started.
type Exited struct {
	Status     uint32 // as wait(2) has it
	CPUTime    uint64 // nanoseconds, of it and all that it started; Unknown
	OwnCPUTime uint64 // nanoseconds, of its own process; Unknown
	MemoryPeak uint64 // bytes, largest resident size of one of its processes that has ended; 0 unknown
	Written    [2]uint64
	Hit        uint8 // limits that it has met: HitProcesses, HitOverlay
}

// Limits that a program can meet without ending.
const (
	HitProcesses uint8 = 1 // Config.Processes refused it one
	HitOverlay   uint8 = 2 // the upper layer was full when it ended
)

// Unknown is a time that could not be learnt.
const Unknown = ^uint64(0)

// Append appends the payload.
func (m *Exited) Append(b []byte) []byte {
	b = le.AppendUint32(b, m.Status)
	for _, n := range []uint64{m.CPUTime, m.OwnCPUTime, m.MemoryPeak, m.Written[0], m.Written[1]} {
		b = le.AppendUint64(b, n)
	}
	return append(b, m.Hit)
}

// DecodeExited decodes the payload.
func DecodeExited(payload []byte) (Exited, error) {
	r := &reader{b: payload}
	m := Exited{r.u32(), r.u64(), r.u64(), r.u64(), [2]uint64{r.u64(), r.u64()}, r.u8()}
	if m.Hit&^(HitProcesses|HitOverlay) != 0 {
		r.fail("unknown limit")
	}
	return m, r.end()
}
