package gvisor

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/enginetest"
)

func TestMemoryLimit(t *testing.T) {
	for name, fill := range map[string]string{
		"program": "busybox dd if=/dev/zero of=/dev/null bs=900M count=1",
		"shm":     "dd if=/dev/zero of=/dev/shm/f bs=1M & dd if=/dev/zero of=/tmp/f bs=1M & dd if=/dev/zero of=/f bs=1M; wait",
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newConfig(t, busyboxRoot(t))
			cfg.MemoryBytes, cfg.OverlayBytes = 128<<20, 64<<20
			m := bootMachine(t, cfg)
			peak := watchPeak(m.(*machine))
			_, err := spawn(t, m, engine.Program{Argv: []string{"sh", "-c", fill + "; sleep 1000"}})
			require.NoError(t, err)
			select {
			case <-m.Done():
			case <-time.After(testTimeout):
				t.Fatal("the machine outlived its memory limit")
			}
			require.Equal(t, engine.MemoryLimit, m.Cause())
			t.Logf("over the limit by %d KiB", (int64(<-peak)-int64(cfg.MemoryBytes))>>10)
			require.NoError(t, m.Close())
			require.Equal(t, engine.MemoryLimit, m.Cause())
		})
	}
}

// watchPeak looks at the machine's memory much more often than its guard.
func watchPeak(m *machine) chan uint64 {
	peak := make(chan uint64, 1)
	go func() {
		var most uint64
		for {
			select {
			case <-m.done:
				peak <- most
				return
			case <-time.After(500 * time.Microsecond):
				used, _ := m.memory.used()
				most = max(most, used)
			}
		}
	}()
	return peak
}

// Within its limit a machine lives, and memory that is given back counts no more.
func TestMemoryIsGivenBack(t *testing.T) {
	cfg := newConfig(t, busyboxRoot(t))
	m := bootMachine(t, cfg)
	peak := watchPeak(m.(*machine))
	defer func() {
		m.Close()
		t.Logf("peak %d KiB, cause %v", <-peak>>10, m.Cause())
	}()
	for range 6 {
		output(t, m, "sh", "-c", "dd if=/dev/zero of=/f bs=1M count=60 && rm /f")
		output(t, m, "dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1")
	}
	select {
	case <-m.Done():
		t.Fatal("the machine ended: ", m.Cause())
	default:
	}
}

func TestGuestSeesItsMemory(t *testing.T) {
	cfg := newConfig(t, busyboxRoot(t))
	m := bootMachine(t, cfg)
	require.Equal(t, "MemTotal:         262144 kB", output(t, m, "grep", "MemTotal", "/proc/meminfo"))
}

func TestOverlayLimit(t *testing.T) {
	dir := busyboxRoot(t)
	for name, root := range map[string]engine.Config{"dir": {Root: dir}, "erofs": {Root: erofsRoot(t, dir.Path)}, "host": {}} {
		t.Run(name, func(t *testing.T) {
			cfg := newConfig(t, root.Root)
			cfg.OverlayBytes = 16 << 20
			m := bootMachine(t, cfg)
			for _, place := range []string{"/root/f", "/tmp/f", "/dev/shm/f"} {
				r := run(t, m, "sh", "-c", "dd if=/dev/zero of="+place+" bs=1M count=40; wc -c < "+place+"; rm "+place)
				assert.Contains(t, r.Err, "No space left on device", place)
			}
		})
	}
}

func TestPauseAdapts(t *testing.T) {
	assert.Equal(t, longestWait, pause(0, 8<<30))
	assert.Equal(t, shortestWait, pause(99<<20, 100<<20))
	assert.Equal(t, shortestWait, pause(200<<20, 100<<20))
	assert.Equal(t, 125*time.Millisecond, pause(1<<30, 1<<30+512<<20))
}

// All programs have waiters of their own; more of them than idle connections
// must not block each other.
func TestManyPrograms(t *testing.T) {
	m := bootMachine(t, newConfig(t, busyboxRoot(t)))
	const count = 60
	var all []*enginetest.Running
	var ends []*os.File
	for range count {
		in, end, err := os.Pipe()
		require.NoError(t, err)
		ends = append(ends, end)
		r, err := spawn(t, m, engine.Program{Argv: []string{"cat"}, Stdio: [3]*os.File{in}})
		require.NoError(t, err)
		all = append(all, r)
	}
	results := make(chan enginetest.Result, count)
	for _, r := range all {
		go func() { results <- r.Result() }()
	}
	for i := range ends {
		_, err := io.WriteString(ends[i], "x")
		require.NoError(t, err)
		ends[i].Close()
	}
	for range count {
		require.Equal(t, enginetest.Result{Out: "x"}, <-results)
	}
}
