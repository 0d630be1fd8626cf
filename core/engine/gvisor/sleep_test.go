package gvisor

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// waitAsleep waits until the guest sleeps.
func waitAsleep(t *testing.T, m engine.Machine) <-chan struct{} {
	t.Helper()
	var awake <-chan struct{}
	require.Eventually(t, func() bool {
		awake = m.(engine.Sleeper).Asleep()
		return awake != nil
	}, 20*time.Second, 5*time.Millisecond, "the guest does not sleep")
	return awake
}

// A guest that fills memory after a sleep is stopped as soon as one that never slept:
// the pause between two looks at a guest that sleeps is much too long for it.
func TestMemoryLimitAfterSleep(t *testing.T) {
	cfg := newConfig(t, erofsRoot(t, busyboxRoot(t).Path))
	cfg.MemoryBytes, cfg.OverlayBytes = 128<<20, 64<<20
	m := bootMachine(t, cfg)
	defer m.Close()
	peak := watchPeak(m.(*machine))
	_, err := spawn(t, m, engine.Program{
		Argv: []string{"sh", "-c", "sleep 3; busybox dd if=/dev/zero of=/dev/null bs=900M count=1; sleep 1000"},
	})
	require.NoError(t, err)
	awake := waitAsleep(t, m)
	select {
	case <-awake:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody told that the guest woke up")
	}
	select {
	case <-m.Done():
	case <-time.After(testTimeout):
		t.Fatal("the machine outlived its memory limit")
	}
	require.Equal(t, engine.MemoryLimit, m.Cause())
	over := int64(<-peak) - int64(cfg.MemoryBytes)
	t.Logf("over the limit by %d KiB", over>>10)
	assert.Less(t, over, int64(2*cfg.MemoryBytes), "looked at too late")
}

func TestEveryWayToWakeAGuestIsTold(t *testing.T) {
	m := bootMachine(t, newConfig(t, erofsRoot(t, busyboxRoot(t).Path)))
	defer m.Close()
	told := func(awake <-chan struct{}, what string) {
		t.Helper()
		select {
		case <-awake:
		case <-time.After(10 * time.Second):
			t.Fatal("not told: " + what)
		}
	}
	awake := waitAsleep(t, m)
	select {
	case <-awake:
		t.Fatal("told although nothing ran")
	case <-time.After(100 * time.Millisecond):
	}
	r, err := spawn(t, m, engine.Program{Argv: []string{"sh", "-c", "trap : TERM; sleep 1000 & wait; sleep 1000"}})
	require.NoError(t, err)
	told(awake, "a program that starts")

	awake = waitAsleep(t, m)
	require.NoError(t, r.Signal(15))
	told(awake, "a signal")

	waitAsleep(t, m)
	before, err := m.Usage(context.Background())
	require.NoError(t, err)
	again, err := m.Usage(context.Background())
	require.NoError(t, err)
	assert.Equal(t, before.CPUTime, again.CPUTime)
}

// A call that goes on for as long as the host feeds it is no sleep, although it waits.
func TestSpliceIsNoSleep(t *testing.T) {
	m := bootMachine(t, newConfig(t, image.Root{Kind: image.Host}))
	defer m.Close()
	in, feed, err := os.Pipe()
	require.NoError(t, err)
	defer feed.Close()
	const splice = `
import ctypes, os, time
to = os.pipe()
libc = ctypes.CDLL(None)
os.write(1, b"splicing")
libc.splice(0, None, to[1], None, 1 << 20, 0)
time.sleep(1000)
`
	said, out, err := os.Pipe()
	require.NoError(t, err)
	defer said.Close()
	p := engine.Program{Argv: []string{"python3", "-c", splice}, Env: defaultEnv, Stdio: [3]*os.File{in, out}}
	_, err = m.Start(context.Background(), p)
	require.NoError(t, err)
	_, err = said.Read(make([]byte, 8))
	require.NoError(t, err)
	require.Never(t, func() bool { return m.(engine.Sleeper).Asleep() != nil },
		time.Second, 5*time.Millisecond, "in splice")
	feed.Write([]byte("x"))
	waitAsleep(t, m) // in its sleep
}
