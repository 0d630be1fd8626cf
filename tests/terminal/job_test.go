package terminal

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// starts are both ways to start a program: directly, and through the launcher.
func starts(t *testing.T, test func(t *testing.T, o core.ProcessOptions)) {
	umask := uint32(0o077)
	for name, o := range map[string]core.ProcessOptions{
		"direct":   {},
		"launcher": {Umask: &umask, Rlimits: []core.Rlimit{{Resource: 7, Soft: 64, Hard: 64}}, UID: 1000, GID: 1000},
	} {
		t.Run(name, func(t *testing.T) { test(t, o) })
	}
}

const (
	ctrlC         = "\x03"
	ctrlD         = "\x04"
	ctrlZ         = "\x1a"
	ctrlBackslash = "\x1c"
)

// listener says that it runs, that it goes on, and what it reads. What it says is not
// what was typed.
const listener = `sh -c 'trap "echo cont-$((40+2))" CONT; echo up-$((40+2)); while :; do read line && echo "got-$line"; done'`

// reader starts no process after it has said that it runs. One that does cannot be
// signalled right then: dash ignores Ctrl-C, and sticks at Ctrl-Z, between vfork and
// exec, and a Ctrl-Z that comes in an exec is lost.
const reader = `sh -c 'echo up-$((40+2)); read line'`

// An interactive shell with job control, as a person uses it.
func TestJobControl(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	for _, shell := range []string{"bash", "sh"} {
		t.Run(shell, func(t *testing.T) {
			starts(t, func(t *testing.T, o core.ProcessOptions) {
				o.Argv = []string{shell, "-i"}
				o.Env = []string{"PS1=ready> ", "HOME=/tmp"}
				p := on(t, sb, o)
				p.expect("ready> ")
				assert.NotContains(t, p.text(), "no job control")

				p.keys(listener + "\r")
				p.expect("up-42")
				p.keys(ctrlZ)
				p.expect("Stopped")
				p.expect("ready> ")
				p.keys("fg\r")
				p.expect("cont-42")
				p.keys("abc\r")
				p.expect("got-abc")
				p.keys(ctrlZ)
				p.expect("Stopped")
				p.expect("ready> ")
				p.keys("bg\r")      // it reads: only the foreground may
				p.expect("cont-42") // the prompt may come before
				p.keys("until jobs >/tmp/$$; grep Stopped /tmp/$$; do sleep 0.05; done; echo stopped-$((40+2))\r")
				p.expect("stopped-42")
				p.expect("ready> ")
				p.keys("fg\r")
				p.expect("cont-42")
				p.keys("def\r")
				p.expect("got-def")
				p.keys(ctrlC)
				p.expect("ready> ")
				p.keys("echo code=$?\r")
				p.expect("code=130")
				p.expect("ready> ")
				p.keys("sh -c 'echo up-$((40+2)); exec cat'\r")
				p.expect("up-42")
				p.keys("typed\r")
				p.expect("typed\r\ntyped\r\n")
				p.keys(ctrlBackslash)
				p.expect("ready> ")
				p.keys("echo code=$?\r")
				p.expect("code=131")
				p.keys("exit 7\r")
				p.exits(7)
				p.end()
			})
		})
	}
}

// Only what is in the foreground is signalled, and the shell goes on.
func TestInterruptReachesTheForegroundOnly(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p := on(t, sb, core.ProcessOptions{Argv: []string{"bash", "-i"}, Env: []string{"PS1=ready> "}})
	p.expect("ready> ")
	p.keys("(trap 'echo background-$((40+2))' INT; while :; do sleep 0.1; done) &\r")
	p.expect("ready> ")
	p.keys("sh -c 'trap \"echo fore-$((40+2)); exit 3\" INT; echo up-$((40+2)); while :; do sleep 0.1; done'\r")
	p.expect("up-42")
	p.keys(ctrlC)
	p.expect("fore-42")
	p.expect("ready> ")
	p.keys("kill %1; echo end-$((40+2))\r")
	p.expect("end-42")
	require.NotContains(t, p.text(), "background-42")
	p.keys("exit\r")
	p.end()
}
