//go:build linux

package main_test

import (
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLogs(t *testing.T) {
	s := newShell(t)
	later := time.Now().UTC().Add(time.Hour).Format(time.RFC3339)
	status, out, errs := s.run("run", "--name", "kept", "--store", "--log", "--log-max", "1M", "--root", s.root, "--",
		"sh", "-c", "echo one; echo two; echo three; echo wrong >&2; exit 4")
	require.Equal(t, 4, status, errs)
	assert.Empty(t, out+errs, "all of it is in the log")
	for _, c := range []struct {
		args      []string
		out, errs string
	}{
		{[]string{"--source", "stdout"}, "one\ntwo\nthree\n", ""},
		{[]string{"--source", "stdout", "--source", "stderr"}, "one\ntwo\nthree\n", "wrong\n"},
		{[]string{"-f", "--source", "stdout", "--tail", "2"}, "two\nthree\n", ""},
		{[]string{"--source", "stdout", "--tail", "0"}, "", ""},
		{[]string{"--source", "stdout", "--since", "1h", "--program", "1"}, "one\ntwo\nthree\n", ""},
		{[]string{"--source", "stdout", "--since", later}, "", ""},
		{[]string{"--program", "2"}, "", ""},
		{[]string{"--tail", "1"}, "", "[supervisor] sandbox ended: stopped\n"},
	} {
		status, out, errs := s.run(append(append([]string{"logs"}, c.args...), "kept")...)
		assert.Zero(t, status, c.args)
		assert.Equal(t, c.out, out, c.args)
		assert.Equal(t, c.errs, errs, c.args)
	}
	_, out, _ = s.run("logs", "-t", "--source", "stdout", "--source", "supervisor", "kept")
	assert.Regexp(t, `(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z stdout 1 two$`, out)
	assert.Regexp(t, `(?m)^\S+Z supervisor program 1: exited with code 4$`, out)
	status, _, errs = s.run("rm", "kept")
	require.Zero(t, status, errs)
	status, _, errs = s.run("logs", "kept")
	assert.Equal(t, 125, status)
	assert.Contains(t, errs, `no log of a sandbox named "kept"`)
}

func TestLogsFollowDetached(t *testing.T) {
	s := newShell(t)
	status, _, errs := s.run("run", "--name", "bg", "--detach", "--log", "--root", s.root, "--", "sh", "-c", "echo up; exec sleep 1000")
	require.Zero(t, status, errs)
	cmd, rest := s.begin("logs", "-f", "--source", "stdout", "bg")
	status, _, errs = s.run("exec", "--log", "bg", "sh", "-c", "echo more")
	require.Zero(t, status, errs)
	line, err := rest.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "more\n", line)
	status, _, errs = s.run("kill", "bg")
	require.Zero(t, status, errs)
	_, err = rest.ReadString('\n')
	assert.ErrorIs(t, err, io.EOF, "the end of the sandbox is that of the log")
	assert.NoError(t, cmd.Wait())
}

func TestLogsEndsWithASignal(t *testing.T) {
	s := newShell(t)
	status, _, errs := s.run("run", "--name", "bg", "--detach", "--log", "--root", s.root, "--", "sh", "-c", "echo up; exec sleep 1000")
	require.Zero(t, status, errs)
	cmd, _ := s.begin("logs", "-f", "--source", "stdout", "bg")
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	assert.NoError(t, cmd.Wait())
	status, _, errs = s.run("kill", "bg")
	require.Zero(t, status, errs)
}

func TestLogsBadUsage(t *testing.T) {
	s := newShell(t)
	for _, args := range [][]string{{}, {"a", "b"}, {"--tail", "-1", "a"}, {"--since", "yesterday", "a"}, {"--since", "-5m", "a"}, {"--source", "all", "a"}} {
		status, out, errs := s.run(append([]string{"logs"}, args...)...)
		assert.Equal(t, 2, status, args)
		assert.Empty(t, out, args)
		assert.NotEmpty(t, errs, args)
	}
}
