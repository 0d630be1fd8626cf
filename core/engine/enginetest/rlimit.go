package enginetest

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// one sets a limit, soft and hard alike.
func one(resource uint32, value uint64) []engine.Rlimit {
	return []engine.Rlimit{{Resource: resource, Soft: value, Hard: value}}
}

func (s Suite) UserGroupsUmaskAndLimits(t *testing.T) {
	m := s.Boot(t, Root(t))
	umask := func(n uint32) *uint32 { return &n }
	for _, c := range []struct {
		name, script, want string
		p                  engine.Program
	}{
		{"default", "id -u; id -g; id -G; umask", "0\n0\n0\n0022\n", engine.Program{}},
		{"user", "id -u; id -g; id -G", "1000\n1001\n1001\n", engine.Program{UID: 1000, GID: 1001}},
		{"largest ids", "id -u; id -g", "4294967294\n4294967294\n", engine.Program{UID: 1<<32 - 2, GID: 1<<32 - 2}},
		{"groups", "id -G", "5 6 7\n", engine.Program{GID: 5, Groups: []uint32{6, 7}}},
		{"capabilities of a user", "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | cut -f2",
			"0000000000000000\n0000000000000000\n0000000000000000\n00000000800405fb\n0000000000000000\n", engine.Program{UID: 7}},
		{"capabilities of root", "grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status | cut -f2",
			"00000000800405fb\n00000000800405fb\n00000000800405fb\n", engine.Program{GID: 7}},
		{"a user's files", "touch /root/x 2>/dev/null || echo no; touch /tmp/u && ls -ln /tmp/u | { read a b u g r; echo $u $g; }; rm /tmp/u",
			"no\n1000 1001\n", engine.Program{UID: 1000, GID: 1001}},
		{"umask", "umask; touch /tmp/m; ls -l /tmp/m | cut -c1-10; rm /tmp/m", "0077\n-rw-------\n", engine.Program{Umask: umask(0o77)}},
		{"umask 0", "umask", "0000\n", engine.Program{Umask: umask(0)}},
		{"umask and user", "umask; id -u", "0027\n9\n", engine.Program{Umask: umask(0o27), UID: 9}},
		{"limits", "ulimit -n; ulimit -Hn; ulimit -St; ulimit -Ht", "64\n128\n7\n9\n", engine.Program{Rlimits: []engine.Rlimit{
			{Resource: unix.RLIMIT_NOFILE, Soft: 64, Hard: 128}, {Resource: unix.RLIMIT_CPU, Soft: 7, Hard: 9}}}},
		{"infinity", "ulimit -s", "unlimited\n", engine.Program{Rlimits: one(unix.RLIMIT_STACK, engine.RlimitInfinity)}},
		{"no core files", "ulimit -c", "0\n", engine.Program{Rlimits: one(unix.RLIMIT_CORE, 0)}},
	} {
		for way, env := range s.Ways {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				if s.OneID && (c.p.UID != 0 || c.p.GID != 0 || len(c.p.Groups) > 0) {
					t.Skip("the guest has no other ids: needs root")
				}
				c.p.Argv, c.p.Env = []string{"sh", "-c", c.script}, env
				r, err := Spawn(t, m, c.p)
				require.NoError(t, err)
				require.Equal(t, Result{Out: c.want}, r.Result())
			})
		}
	}
}

func (s Suite) LimitsThatCannotBeSet(t *testing.T) {
	m := s.Boot(t, Root(t))
	type refusal struct {
		limits []engine.Rlimit
		code   fault.Code
		errno  unix.Errno
	}
	cases := map[string]refusal{
		"unknown":         {one(99, 1), fault.Unsupported, 0},
		"soft above hard": {[]engine.Rlimit{{Resource: unix.RLIMIT_CPU, Soft: 2, Hard: 1}}, fault.Invalid, 0},
		"raised":          {one(unix.RLIMIT_NOFILE, 1<<40), fault.Exec, unix.EPERM},
	}
	for _, resource := range s.FixedRlimits {
		cases["fixed "+engine.Rlimit{Resource: resource}.Name()] = refusal{one(resource, 1), fault.Unsupported, 0}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Spawn(t, m, engine.Program{Argv: []string{"true"}, Rlimits: c.limits})
			var e *fault.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, c.code, e.Code, e.Message)
			assert.Equal(t, c.errno, e.Errno, e.Message)
		})
	}
}

// Each limit has a program that it stops and one that it lets pass.
func (s Suite) LimitsAreEnforced(t *testing.T) {
	m := s.Boot(t, Root(t))
	for _, c := range []struct {
		name, script string
		limits       []engine.Rlimit
		stopped, ok  func(t *testing.T, r Result)
	}{
		{"fsize", "dd if=/dev/zero of=/tmp/f bs=1000 count=20 2>/dev/null; s=$?; wc -c < /tmp/f; rm /tmp/f; exit $s",
			one(unix.RLIMIT_FSIZE, 10000),
			func(t *testing.T, r Result) {
				assert.Equal(t, Result{"10000\n", "", syscall.WaitStatus((128 + 25) << 8)}, r)
			},
			func(t *testing.T, r Result) { assert.Equal(t, Result{Out: "20000\n"}, r) }},
		{"nofile", "exec 5</dev/null", one(unix.RLIMIT_NOFILE, 5),
			func(t *testing.T, r Result) { assert.NotZero(t, r.Status.ExitStatus()) },
			func(t *testing.T, r Result) { assert.Equal(t, Result{}, r) }},
		{"nproc", "(:) & wait", one(unix.RLIMIT_NPROC, 1),
			func(t *testing.T, r Result) { assert.NotZero(t, r.Status.ExitStatus(), r.Err) },
			func(t *testing.T, r Result) { assert.Equal(t, Result{}, r) }},
		{"as", "x=0123456789abcdef; for i in 1 2 3 4 5 6 7 8 9 a b c d e f g h i; do x=$x$x; done; echo ${#x}",
			one(unix.RLIMIT_AS, 12<<20),
			func(t *testing.T, r Result) { assert.NotEqual(t, syscall.WaitStatus(0), r.Status) },
			func(t *testing.T, r Result) { assert.Equal(t, Result{Out: "4194304\n"}, r) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			argv, uid := []string{"sh", "-c", c.script}, uint32(1000)
			if s.OneID {
				uid = 0
			}
			r, err := Spawn(t, m, engine.Program{Argv: argv, UID: uid, Rlimits: c.limits})
			require.NoError(t, err)
			c.stopped(t, r.Result())
			r, err = Spawn(t, m, engine.Program{Argv: argv, UID: uid})
			require.NoError(t, err)
			c.ok(t, r.Result())
		})
	}
}

func (s Suite) ProcessorLimit(t *testing.T) {
	m := s.Boot(t, Root(t))
	for _, c := range []struct {
		name, script string
		limit        engine.Rlimit
		signal       syscall.Signal
		own          time.Duration
	}{
		{"soft", "while :; do :; done", engine.Rlimit{Resource: unix.RLIMIT_CPU, Soft: 1, Hard: 5}, unix.SIGXCPU, time.Second},
		{"hard", "trap '' XCPU; while :; do :; done", engine.Rlimit{Resource: unix.RLIMIT_CPU, Soft: 1, Hard: 2}, unix.SIGKILL, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Spawn(t, m, engine.Program{Argv: []string{"sh", "-c", c.script}, Rlimits: []engine.Rlimit{c.limit}})
			require.NoError(t, err)
			require.Equal(t, c.signal, r.Result().Status.Signal())
			require.GreaterOrEqual(t, r.Usage().OwnCPUTime, c.own)
			// An emulated kernel on a busy machine looks late.
			require.Less(t, r.Usage().OwnCPUTime, c.own+3*time.Second)
		})
	}
}

func (s Suite) Usage(t *testing.T) {
	m := s.Boot(t, Root(t))
	const burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
	const hold = "x=0123456789abcdef; for i in 1 2 3 4 5 6 7 8 9 a b c d e f g h i; do x=$x$x; done"
	for way, env := range s.Ways {
		t.Run(way, func(t *testing.T) {
			use := func(script string) engine.ProgramUsage {
				r, err := Spawn(t, m, engine.Program{Argv: []string{"sh", "-c", script}, Env: env})
				require.NoError(t, err)
				require.Equal(t, syscall.WaitStatus(0), r.Result().Status)
				return r.Usage()
			}
			use(":") // the first of a machine reads and translates what later ones find
			idle := use(":")
			assert.GreaterOrEqual(t, idle.CPUTime, time.Duration(0))
			assert.NotZero(t, idle.MemoryPeak)
			assert.Less(t, idle.MemoryPeak, uint64(16<<20), "1 to 4 MiB of pages that are in use, not what is mapped")
			busy := use(burn)
			assert.Greater(t, busy.OwnCPUTime, 20*time.Millisecond)
			assert.Less(t, idle.CPUTime, busy.CPUTime)
			assert.Equal(t, busy.OwnCPUTime, busy.CPUTime)
			child := use("sh -c '" + burn + "'; :")
			assert.Greater(t, child.CPUTime, child.OwnCPUTime+20*time.Millisecond)
			lost := use("(setsid sh -c 'exec >/tmp/done; " + burn + "; echo x' &); while [ ! -s /tmp/done ]; do sleep 0.01; done; rm /tmp/done")
			assert.Greater(t, lost.CPUTime, lost.OwnCPUTime+20*time.Millisecond, "of orphans too")
			assert.Greater(t, use(hold).MemoryPeak, idle.MemoryPeak+4<<20)
			assert.Greater(t, use("sh -c '"+hold+"'; :").MemoryPeak, idle.MemoryPeak+4<<20)
		})
	}
}

// Limits that one program has or gives itself are no other one's.
func (s Suite) LimitsAreTheProgramsOwn(t *testing.T) {
	m := s.Boot(t, Root(t))
	const first = "ulimit -n"
	before := Output(t, m, "sh", "-c", first)
	f := startFamily(t, m, "ulimit -n 17; printf r >&2; sleep 1000; :", engine.Program{Env: DefaultEnv}, 1)
	require.Equal(t, before, Output(t, m, "sh", "-c", first))
	for range 3 {
		require.Equal(t, before, Output(t, m, "sh", "-c", first+"; ulimit -n 17"))
		r, err := Spawn(t, m, engine.Program{Argv: []string{"sh", "-c", first}, Rlimits: one(unix.RLIMIT_NOFILE, 9)})
		require.NoError(t, err)
		require.Equal(t, "9\n", r.Result().Out)
	}
	require.NoError(t, f.Signal(unix.SIGKILL))
	_, err := f.Wait()
	require.NoError(t, err)
}
