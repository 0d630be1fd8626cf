//go:build linux

package launch_test

import (
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// ignoreSIGCHLD makes the kernel reap every child by itself.
func ignoreSIGCHLD(t *testing.T) {
	t.Helper()
	signal.Ignore(syscall.SIGCHLD)
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{})
	require.NoError(t, err)
	_, err = syscall.Wait4(pid, nil, 0, nil)
	require.ErrorIs(t, err, syscall.ECHILD, "the kernel does not reap")
}
