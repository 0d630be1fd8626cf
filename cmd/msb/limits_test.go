//go:build linux

package main_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestProgramOptions(t *testing.T) {
	s := newShell(t)
	run := func(args ...string) (int, string, string) {
		return s.run(append([]string{"run", "--root", s.root}, args...)...)
	}
	status, out, errs := run("--user", "1000", "--umask", "077", "--ulimit", "nofile=32:64", "--ulimit", "core=0",
		"sh", "-c", "id -u; id -g; umask; ulimit -n; ulimit -Hn; ulimit -c")
	assert.Zero(t, status, errs)
	assert.Equal(t, "1000\n1000\n0077\n32\n64\n0\n", out)
	_, out, _ = run("--user", "5:6", "--ulimit", "stack=unlimited", "sh", "-c", "id -u; id -g; ulimit -s")
	assert.Equal(t, "5\n6\nunlimited\n", out)
	for _, wrong := range [][]string{
		{"--user", "root"}, {"--user", "1:"}, {"--umask", "8"}, {"--umask", "1000"}, {"--ulimit", "nofile"},
		{"--ulimit", "nice=1"}, {"--ulimit", "nofile=2:1"}, {"--ulimit", "nofile=x"}, {"--timeout", "soon"}, {"--timeout", "-1s"},
	} {
		status, _, errs := run(append(wrong, "true")...)
		assert.Equal(t, 2, status, "%v", wrong)
		assert.NotEmpty(t, errs)
	}
}

func TestLimitsOfPrograms(t *testing.T) {
	s := newShell(t)
	begin := time.Now()
	status, _, errs := s.run("run", "--root", s.root, "--timeout", "200ms", "sh", "-c", "setsid sleep 1000 & sleep 1000")
	assert.Equal(t, 124, status, errs)
	assert.GreaterOrEqual(t, time.Since(begin), 200*time.Millisecond)
	status, _, errs = s.run("run", "--root", s.root, "--ulimit", "cpu=1", "sh", "-c", "while :; do :; done")
	assert.Equal(t, 128+9, status, errs) // soft and hard limit come together: SIGKILL is first
	assert.Contains(t, errs, "processor time")
	status, _, errs = s.run("run", "--root", s.root, "--timeout", "1h", "sh", "-c", "exit 3")
	assert.Equal(t, 3, status, errs)
}

func TestLimitsAreTold(t *testing.T) {
	s := newShell(t)
	const many = "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; exit 4"
	for _, c := range []struct {
		args   []string
		status int
		told   string
	}{
		{[]string{"--max-processes", "6", "sh", "-c", "(" + many + "); exit 4"}, 4, "--max-processes"},
		{[]string{"--output-max", "10", "sh", "-c", "yes; :"}, 128 + 9, "--output-max"},
		{[]string{"--cpu-time", "200ms", "sh", "-c", "while :; do :; done"}, 125, "--cpu-time"},
		{[]string{"--memory", "64M", "dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"}, 125, "--memory"},
		{[]string{"--overlay", "1M", "sh", "-c", "head -c 2000000 /dev/zero >/root/x || exit 3"}, 3, "--overlay"},
		{[]string{"--ulimit", "cpu=1", "sh", "-c", "while :; do :; done"}, 128 + 9, "--ulimit cpu"},
		{[]string{"--ulimit", "fsize=10", "sh", "-c", "exec head -c 20 /dev/zero >/tmp/x"}, 128 + 25, "--ulimit fsize"},
		{[]string{"--timeout", "100ms", "sleep", "100"}, 124, "--timeout"},
	} {
		status, _, errs := s.run(append([]string{"run", "--root", s.root}, c.args...)...)
		assert.Equal(t, c.status, status, "%v: %s", c.args, errs)
		assert.Contains(t, errs, c.told, "%v", c.args)
	}
	status, _, errs := s.run("run", "--root", s.root, "--max-processes", "6", "--output-max", "10", "--max-open-files", "20", "echo", "fine")
	assert.Zero(t, status)
	assert.Empty(t, errs)
	for _, wrong := range [][]string{
		{"--cpus", "0"}, {"--cpus", "x"}, {"--cpus", "NaN"}, {"--cpu-weight", "99999"}, {"--cpu-weight", "-1"}, {"--cpu-time", "1ms"},
		{"--max-processes", "99999999999"}, {"--max-open-files", "3"}, {"--output-max", "x"},
	} {
		status, _, errs := s.run(append(append([]string{"run", "--root", s.root}, wrong...), "true")...)
		assert.Equal(t, 2, status, "%v: %s", wrong, errs)
	}
}
