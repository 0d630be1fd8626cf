package qemu

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// A machine that waits is well while its guest answers, not while its process is there.
func TestHealth(t *testing.T) {
	m := boot(t, testConfig(t)).(*machine)
	var _ engine.Pooler = NewTCG().(engine.Pooler)
	healthy := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return engine.Adoptable(m).Healthy(ctx)
	}
	m.Moved("/elsewhere")
	require.NoError(t, healthy())
	require.NoError(t, unix.Kill(m.pid, unix.SIGSTOP))
	assert.Error(t, healthy(), "stopped")
	require.NoError(t, unix.Kill(m.pid, unix.SIGCONT))
	assert.NoError(t, healthy())
	m.kill()
	<-m.Done()
	assert.Error(t, healthy(), "killed")
}
