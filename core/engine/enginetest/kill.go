package enginetest

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// killScripts are programs that start others. Each process holds standard output
// open; each r on standard error says that one more is up.
var killScripts = []struct {
	name, script string
	up           int
}{
	{"plain child", "sh -c 'printf r >&2; sleep 1000; :' & wait", 1},
	{"no child", "printf r >&2; exec sleep 1000", 1},
	{"grandchild in a session of its own", "sh -c \"setsid sh -c 'printf r >&2; sleep 1000; :' & wait\" & wait", 1},
	{"double fork daemon", "(setsid sh -c '(trap \"\" HUP; printf r >&2; sleep 1000; :) & exit' &) ; sleep 1000; :", 1},
	{"parent that exited", "sh -c 'sh -c \"printf r >&2; sleep 1000; :\" & exit 0'; sleep 1000; :", 1},
	{"children that ignore signals", "for i in 1 2 3; do sh -c 'trap \"\" TERM INT HUP QUIT CHLD; printf r >&2; while :; do sleep 1000; done' & done; wait", 3},
	{"stopped children", "for i in 1 2; do setsid sh -c 'printf r >&2; kill -STOP $$; sleep 1000' & done; wait", 2},
	{"stopped program", "setsid sh -c 'printf r >&2; sleep 1000; :' & kill -STOP $$; wait", 1},
	{"loop of forks", "setsid sh -c 'printf r >&2; while :; do (:) & done' & sleep 1000; :", 1},
	{"processes that pass themselves on", "for i in 1 2 3 4; do setsid /tmp/pass & done; printf r >&2; sleep 1000; :", 1},
	{"many at once", "i=0; while [ $i -lt 60 ]; do setsid sh -c 'printf r >&2; sleep 1000; :' & i=$((i+1)); done; wait", 60},
	{"another user namespace", "unshare -U sh -c 'printf r >&2; sleep 1000; :' & wait", 1},
	{"another pid namespace", "unshare -Upf sh -c 'printf r >&2; sleep 1000; :' & wait", 1},
}

// runningFamily is a program whose descendants say when they are up.
type runningFamily struct {
	*Running
	up *os.File
}

func startFamily(t testing.TB, m engine.Machine, script string, p engine.Program, up int) *runningFamily {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	f := &runningFamily{Running: &Running{t: t}, up: r}
	p.Argv = []string{"sh", "-c", script}
	p.Stdio[1], f.out = Collect(t)
	p.Stdio[2] = w
	f.Process, err = m.Start(t.Context(), p)
	require.NoError(t, err)
	buf := make([]byte, 1)
	require.NoError(t, r.SetReadDeadline(time.Now().Add(Timeout)))
	for range up {
		_, err := r.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "r", string(buf))
	}
	return f
}

// gone waits until nobody holds the output open any more.
func (f *runningFamily) gone() {
	f.t.Helper()
	select {
	case <-f.out:
	case <-time.After(Timeout):
		f.t.Fatal("a process of the program is still there")
	}
}

func (s Suite) KillEndsTheFamily(t *testing.T) {
	roots := map[string]string{"dir": Root(t)}
	if s.HostRoot {
		roots["host"] = ""
	}
	for kind, root := range roots {
		m := s.Boot(t, root)
		Output(t, m, "sh", "-c", "printf '#!/bin/sh\n/tmp/pass &\n' >/tmp/pass; chmod 755 /tmp/pass")
		bystander := startFamily(t, m, "setsid sh -c 'printf r >&2; sleep 1000; :' & printf r >&2; read x", engine.Program{Env: DefaultEnv}, 2)
		for _, c := range killScripts {
			for way, env := range s.Ways {
				t.Run(kind+"/"+c.name+"/"+way, func(t *testing.T) {
					f := startFamily(t, m, c.script, engine.Program{Env: env}, c.up)
					require.NoError(t, f.Signal(unix.SIGKILL))
					status, err := f.Wait()
					require.NoError(t, err)
					assert.Equal(t, syscall.SIGKILL, status.Signal())
					f.gone()
					require.ErrorIs(t, f.Signal(unix.SIGKILL), unix.ESRCH)
				})
			}
		}
		select {
		case <-bystander.out:
			t.Fatal("another program's processes ended too")
		default:
		}
		require.Equal(t, "1", Output(t, m, "sh", "-c", "cat /proc/[0-9]*/comm | grep -c '^sleep$'"), "the bystander's alone")
		require.Equal(t, "hi", Output(t, m, "echo", "hi"))
	}
}

// Signals other than SIGKILL reach the program alone; what it has started lives
// on when it ends.
func (s Suite) OtherSignals(t *testing.T) {
	m := s.Boot(t, Root(t))
	for way, env := range s.Ways {
		t.Run(way, func(t *testing.T) {
			in, out, err := os.Pipe()
			require.NoError(t, err)
			f := startFamily(t, m, "exec 3<&0; setsid sh -c 'printf r >&2; read x; echo on' <&3 & wait",
				engine.Program{Env: env, Stdio: [3]*os.File{in}}, 1)
			require.NoError(t, f.Signal(unix.SIGTERM))
			status, err := f.Wait()
			require.NoError(t, err)
			require.Equal(t, syscall.SIGTERM, status.Signal())
			require.NoError(t, out.Close())
			require.Equal(t, "on\n", <-f.out, "what it started lives on")
		})
	}
}

func (s Suite) SignalAll(t *testing.T) {
	m := s.Boot(t, Root(t))
	sleeping := func() int { return strings.Count(Output(t, m, "ps", "-o", "comm"), "sleep") }
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		before := sleeping() // of a machine that others have used
		var all []*Running
		for range 3 {
			// The child is in a session of its own and holds the output open.
			r, err := Spawn(t, m, engine.Program{Argv: []string{"sh", "-c", "busybox setsid sleep 1000 & wait"}})
			require.NoError(t, err)
			all = append(all, r)
		}
		require.Eventually(t, func() bool {
			return sleeping() == before+3
		}, 10*time.Second, time.Millisecond)
		require.NoError(t, m.SignalAll(sig))
		for _, r := range all {
			require.Equal(t, sig, r.Result().Status.Signal())
		}
		require.Equal(t, "hi", Output(t, m, "echo", "hi"), "the machine lives on")
		// Orphans go to pid 1, which is awake and reaps them.
		Output(t, m, "sh", "-c", "(sh -c 'exit 0' &) &")
		require.Eventually(t, func() bool {
			states := Output(t, m, "sh", "-c", "grep -h ^State /proc/[0-9]*/status 2>/dev/null; :")
			return !strings.Contains(states, "stopped") && !strings.Contains(states, "zombie")
		}, 10*time.Second, time.Millisecond)
	}
}

// The families of ended processes are not kept.
func (s Suite) FamiliesThatEnd(t *testing.T) {
	m := s.Boot(t, Root(t))
	for range 20 {
		f := startFamily(t, m, "for i in 1 2 3 4 5 6 7 8; do (:) & done; wait; printf r >&2; exit 3", engine.Program{Env: DefaultEnv}, 1)
		status, err := f.Wait()
		require.NoError(t, err)
		require.Equal(t, 3, status.ExitStatus())
	}
}
