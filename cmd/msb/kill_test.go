//go:build linux

package main_test

import (
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// A detached sandbox whose supervisor is stopped is nobody's to sweep, and answers
// nobody: who names it can still end it.
func TestKillAndRemoveOfAStoppedDetachedSandbox(t *testing.T) {
	for _, command := range [][]string{{"kill", "bg"}, {"rm", "-f", "bg"}} {
		t.Run(command[0], func(t *testing.T) {
			s := newShell(t)
			status, _, errs := s.run("run", "--name", "bg", "--detach", "--log", "--root", s.root, "--", "sleep", "1000")
			require.Zero(t, status, errs)
			status, out, _ := s.run("ls")
			require.Zero(t, status)
			found := regexp.MustCompile(`(?m)^bg\s+running\s+gvisor\s+(\d+)\s`).FindStringSubmatch(out)
			require.NotNil(t, found, out)
			pid, err := strconv.Atoi(found[1])
			require.NoError(t, err)
			tree := harness.Tree(t, pid)
			require.NoError(t, unix.Kill(pid, unix.SIGSTOP))
			status, out, _ = s.run("audit")
			require.Zero(t, status, "it is no leak: %s", out)
			require.Len(t, harness.Alive(tree), len(tree))

			begin := time.Now()
			status, _, errs = s.run(command...)
			assert.Zero(t, status, errs)
			assert.Less(t, time.Since(begin), 5*time.Second)
			harness.Gone(t, tree, harness.Limit)
			assert.Empty(t, harness.Entries(t, s.state))
			status, out, _ = s.run("audit")
			assert.Zero(t, status)
			assert.Empty(t, out)
		})
	}
}
