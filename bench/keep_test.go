package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const limit = 10 * time.Second

// program builds one of the C programs into build/bench of a settings.
func program(t *testing.T, name string) settings {
	t.Helper()
	s := settings{build: t.TempDir()}
	require.NoError(t, os.Mkdir(s.product("bench"), 0o755))
	out, err := exec.Command("cc", "-std=c99", "-O2", "-o", s.product("bench", name), filepath.Join("programs", name+".c")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return s
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// The shell's child leaves its group and loses its parent: nobody but a reaper
// would wait for it.
const orphan = `setsid sh -c 'echo $$; read line' <&3 3<&- & read line; exit 7`

func TestKeepEndsAfterOrphans(t *testing.T) {
	s := program(t, "keep")
	hold, release, err := os.Pipe()
	require.NoError(t, err)
	defer release.Close()
	cmd := keep(t.Context(), s, "/bin/sh", "-c", orphan)
	cmd.ExtraFiles = []*os.File{hold}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	hold.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	in.Close() // the orphan has its own group now

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
		t.Fatal("keep ended before the orphan")
	case <-time.After(200 * time.Millisecond):
	}
	assert.True(t, alive(pid))
	release.Close()
	select {
	case err := <-ended:
		assert.ErrorContains(t, err, "exit status 7")
	case <-time.After(limit):
		t.Fatal("keep did not end after the orphan")
	}
	assert.False(t, alive(pid))
}

func TestKeepKillsTheGroupWhenCanceled(t *testing.T) {
	s := program(t, "keep")
	ctx, cancel := context.WithCancel(t.Context())
	cmd := keep(ctx, s, "/bin/sh", "-c", "sleep 600 & echo $!; wait")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	require.True(t, alive(pid))
	cancel()
	assert.Error(t, cmd.Wait())
	assert.False(t, alive(pid))
}

func TestKillerCountsOrphansAndWaitsForThem(t *testing.T) {
	s := program(t, "killer")
	cmd := exec.Command(s.product("bench", "killer"))
	// It is killed while the child that it left sleeps on.
	cmd.Stdin = strings.NewReader("end\t/bin/sh\t-c\tsleep 0.3 & echo ready; wait\n")
	out, err := cmd.Output()
	require.NoError(t, err)
	fields := strings.Fields(string(out))
	require.Len(t, fields, 3)
	gone, err := strconv.ParseInt(fields[1], 10, 64)
	require.NoError(t, err)
	assert.Equal(t, "ok", fields[0])
	assert.GreaterOrEqual(t, time.Duration(gone), 200*time.Millisecond)
	assert.Equal(t, "2", fields[2])

	cmd = exec.Command(s.product("bench", "killer"))
	cmd.Stdin = strings.NewReader("end\t/bin/echo\tother\n")
	out, err = cmd.Output()
	assert.ErrorContains(t, err, "exit status 1")
	assert.Equal(t, "error ready: the program wrote something else\n", string(out))
}
