package wire

// Hello is the host's first request. The nonce ties the answer to it: a clone of a
// booted machine may still hold an answer for another host.
type Hello struct {
	Min, Max uint16 // versions that the host speaks
	Nonce    uint64
}

// Append appends the payload.
func (m *Hello) Append(b []byte) []byte {
	b = le.AppendUint64(b, Magic)
	b = le.AppendUint16(le.AppendUint16(b, m.Min), m.Max)
	return le.AppendUint64(b, m.Nonce)
}

// DecodeHello decodes the payload.
func DecodeHello(payload []byte) (Hello, error) {
	r := &reader{b: payload}
	if r.u64() != Magic {
		r.fail("not a hello")
	}
	m := Hello{r.u16(), r.u16(), r.u64()}
	return m, r.end()
}

// How a program with all that it started is killed.
const (
	KillCgroup  uint8 = 1 // cgroup v2, cgroup.kill
	KillFreeze  uint8 = 2 // cgroup v2, frozen and then killed one by one
	KillLineage uint8 = 3 // a subreaper that looks for its descendants
)

// Welcome is the body of the reply to Hello.
type Welcome struct {
	Version    uint16
	Nonce      uint64 // the Hello's
	Kill       uint8
	Configured bool   // Configure was done already, in the template of a clone
	Kernel     string // release of the guest's kernel
}

// Append appends the body.
func (m *Welcome) Append(b []byte) []byte {
	b = le.AppendUint64(b, Magic)
	b = le.AppendUint64(le.AppendUint16(b, m.Version), m.Nonce)
	b = append(b, m.Kill, flag(m.Configured))
	return appendText(b, m.Kernel)
}

// DecodeWelcome decodes the body.
func DecodeWelcome(body []byte) (Welcome, error) {
	r := &reader{b: body}
	if r.u64() != Magic {
		r.fail("not a welcome")
	}
	m := Welcome{Version: r.u16(), Nonce: r.u64(), Kill: r.u8(), Configured: r.flag(), Kernel: r.text(MaxName)}
	return m, r.end()
}

func flag(v bool) uint8 {
	if v {
		return 1
	}
	return 0
}

func (r *reader) flag() bool {
	v := r.u8()
	if v > 1 {
		r.fail("flag is 0 or 1")
	}
	return v == 1
}

// Kinds of a file system that the agent mounts.
const (
	MountTmpfs uint8 = 1 // in memory, SizeBytes
	MountDisk  uint8 = 2 // the disk with the serial Source, of Type
	MountBind  uint8 = 3 // the directory or file Source of the initramfs
)

// Flags of a Mount.
const (
	ReadOnly uint8 = 1
	NoExec   uint8 = 2
	NoSUID   uint8 = 4
	NoDev    uint8 = 8
)

// Mount is one file system.
type Mount struct {
	Kind      uint8
	Flags     uint8
	Source    string // serial of a disk (at most 20 bytes reach a guest), or a path
	Type      string // of a disk: "erofs", "ext4", …
	Target    string // absolute, in the guest; not used for root and upper layer
	SizeBytes uint64 // of a tmpfs
}

// Config is what the agent makes of a booted kernel: the root and where changes to
// it go, mounts in their order, and the defaults of programs.
type Config struct {
	Root         Mount // read-only below the upper layer
	Upper        Mount // MountTmpfs or MountDisk (writable); Kind 0: the root stays read-only
	Mounts       []Mount
	Capabilities uint64 // of programs with uid 0, and the bounding set of all
	Cwd          string // of programs that name none
	ShmBytes     uint64 // size of /dev/shm
	Processes    uint32 // of all programs at once, threads and zombies included; 0: no limit
	OpenFiles    uint32 // of each process, at most; 0: as the agent has it
	Renewal      Renewal
}

// Renewal is what must differ between clones of one machine. Zero leaves a field.
type Renewal struct {
	UnixNano int64 // the time now
	Entropy  string
	Hostname string
}

func (m *Mount) append(b []byte) []byte {
	b = append(b, m.Kind, m.Flags)
	b = appendText(appendText(appendText(b, m.Source), m.Type), m.Target)
	return le.AppendUint64(b, m.SizeBytes)
}

func (r *reader) mount() Mount {
	m := Mount{r.u8(), r.u8(), r.path(MaxPath), r.path(MaxName), r.path(MaxPath), r.u64()}
	if r.err == nil && m.Kind > MountBind {
		r.fail("unknown kind of mount")
	}
	return m
}

// Append appends the payload.
func (m *Config) Append(b []byte) []byte {
	b = m.Upper.append(m.Root.append(b))
	b = le.AppendUint32(b, uint32(len(m.Mounts)))
	for i := range m.Mounts {
		b = m.Mounts[i].append(b)
	}
	b = appendText(le.AppendUint64(b, m.Capabilities), m.Cwd)
	b = le.AppendUint64(b, m.ShmBytes)
	b = le.AppendUint32(le.AppendUint32(b, m.Processes), m.OpenFiles)
	return m.Renewal.Append(b)
}

// DecodeConfig decodes the payload.
func DecodeConfig(payload []byte) (*Config, error) {
	r := &reader{b: payload}
	m := &Config{Root: r.mount(), Upper: r.mount()}
	for range r.count(MaxMounts, 22) {
		m.Mounts = append(m.Mounts, r.mount())
	}
	m.Capabilities, m.Cwd, m.ShmBytes = r.u64(), r.path(MaxPath), r.u64()
	m.Processes, m.OpenFiles = r.u32(), r.u32()
	m.Renewal = r.renewal()
	if r.err == nil {
		m.check(r)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Config) check(r *reader) {
	if m.Root.Kind == 0 || m.Root.Kind == MountTmpfs || m.Upper.Kind == MountBind {
		r.fail("root is a disk or a directory, and its upper layer a tmpfs or a disk")
	}
	for i := range m.Mounts {
		if m.Mounts[i].Kind == 0 || len(m.Mounts[i].Target) < 2 || m.Mounts[i].Target[0] != '/' {
			r.fail("mount without kind or target")
		}
	}
	if m.Cwd != "" && m.Cwd[0] != '/' {
		r.fail("working directory is not absolute")
	}
}

// Append appends the payload.
func (m *Renewal) Append(b []byte) []byte {
	b = le.AppendUint64(b, uint64(m.UnixNano))
	return appendText(appendText(b, m.Entropy), m.Hostname)
}

func (r *reader) renewal() Renewal {
	return Renewal{int64(r.u64()), r.text(MaxEntropy), r.path(MaxName)}
}

// DecodeRenewal decodes the payload.
func DecodeRenewal(payload []byte) (Renewal, error) {
	r := &reader{b: payload}
	m := r.renewal()
	return m, r.end()
}

// Usage is what the guest's kernel counts. The host has its own counters for what
// the machine costs; these say what is behind them.
type Usage struct {
	CPUTime      uint64 // nanoseconds, of all programs
	MemoryBytes  uint64 // in use, files in memory included, caches of disks not
	MemoryPeak   uint64 // highest seen at a request
	OverlayBytes uint64 // files in memory
	UpperBytes   uint64 // used of the upper layer's disk
	Programs     uint32 // running
}

// Append appends the body.
func (m *Usage) Append(b []byte) []byte {
	for _, n := range []uint64{m.CPUTime, m.MemoryBytes, m.MemoryPeak, m.OverlayBytes, m.UpperBytes} {
		b = le.AppendUint64(b, n)
	}
	return le.AppendUint32(b, m.Programs)
}

// DecodeUsage decodes the body.
func DecodeUsage(body []byte) (Usage, error) {
	r := &reader{b: body}
	m := Usage{r.u64(), r.u64(), r.u64(), r.u64(), r.u64(), r.u32()}
	return m, r.end()
}

// Reply answers a request. Errno 0 is success, and Body then the answer.
type Reply struct {
	Errno uint32
	Stage uint16 // an MSB_STAGE_*, or StageRlimit
	Index uint16 // of the resource limit, with StageRlimit
	Text  string // what failed, when it is not plain from the request
	Body  []byte
}

// StageRlimit is the stage of a resource limit that could not be set.
const StageRlimit = 100

// Append appends the payload.
func (m *Reply) Append(b []byte) []byte {
	b = le.AppendUint16(le.AppendUint16(le.AppendUint32(b, m.Errno), m.Stage), m.Index)
	if len(m.Text) > MaxText {
		m.Text = m.Text[:MaxText]
	}
	return append(appendText(b, m.Text), m.Body...)
}

// DecodeReply decodes the payload; Body is a part of it.
func DecodeReply(payload []byte) (Reply, error) {
	r := &reader{b: payload}
	m := Reply{Errno: r.u32(), Stage: r.u16(), Index: r.u16(), Text: r.text(MaxText)}
	m.Body, r.b = r.b, nil
	if r.err == nil && m.Errno > 4095 {
		r.fail("errno above 4095")
	}
	return m, r.end()
}
