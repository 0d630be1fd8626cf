package escape

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// onTerminal starts a probe on a terminal of its own and returns the master.
func onTerminal(t *testing.T, sb *core.Sandbox, args ...string) (*core.Process, *os.File) {
	t.Helper()
	kind := core.Stdio{Kind: core.StdioPty}
	p, err := sb.Start(core.ProcessOptions{Argv: append([]string{guestProbes}, args...), Stdio: [3]core.Stdio{kind, kind, kind}})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	fd, err := p.Stdio(0)
	require.NoError(t, err)
	require.NoError(t, unix.SetNonblock(fd, true))
	master := os.NewFile(uintptr(fd), "master")
	t.Cleanup(func() { master.Close() })
	return p, master
}

// shown reads what a terminal shows until its end.
func shown(t *testing.T, master *os.File) answer {
	t.Helper()
	require.NoError(t, master.SetReadDeadline(time.Now().Add(harness.Limit)))
	var text strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := master.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			require.ErrorIs(t, err, unix.EIO)
			return answer(strings.ReplaceAll(text.String(), "\r\n", "\n"))
		}
	}
}

// What a program has as its own terminal is one of the host.
func TestNothingIsTypedIntoOnesOwnTerminal(t *testing.T) {
	sb, path := box(t)
	_, master := onTerminal(t, sb, "terminal_inject")
	assert.Regexp(t, "^denied: ioctl: ", string(shown(t, master)))
	if host("/proc/sys/dev/tty/legacy_tiocsti") == "0" && os.Geteuid() != 0 {
		t.Skip("denied inside; the control outside needs a kernel with dev.tty.legacy_tiocsti=1, or root")
	}
	_, slave := openTerminal(t)
	assert.True(t, outsideWith(t, path, slave, "terminal_inject").reached(), "control")
}

// cpu is the processor time of a process, in ticks of 10 ms.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	require.NoError(t, err)
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// A guest changes the size of its terminal as fast as it can: the supervisor has
// better things to do, and so have others.
func TestWindowStorm(t *testing.T) {
	sb, _ := box(t)
	other := harness.New(t)
	begin, before := time.Now(), cpu(t, int(sb.Pid()))
	p, master := onTerminal(t, sb, "harm_window")
	assert.Equal(t, "here\n", harness.Output(t, other, "echo here"))
	assert.Equal(t, "here\n", harness.Output(t, sb, "echo here"))
	text := shown(t, master)
	harness.Wait(t, p.Done(), "the end of the storm")
	changes, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(text), "reached: changes ")))
	require.NoError(t, err, "%q", text)
	assert.Greater(t, changes, 1000, "no storm")
	took := time.Since(begin)
	assert.Less(t, cpu(t, int(sb.Pid()))-before, took/2, "of %v, with %d changes", took, changes)
}
