package gvisor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/image"
)

func TestRunsInEveryRoot(t *testing.T) {
	dir := busyboxRoot(t)
	t.Run("dir", func(t *testing.T) {
		begin := time.Now()
		m := bootMachine(t, newConfig(t, dir))
		t.Logf("booted in %v: %q", time.Since(begin), m.Receipt())
		require.Equal(t, "hi", output(t, m, "echo", "hi"))
	})
	t.Run("erofs", func(t *testing.T) {
		begin := time.Now()
		m := bootMachine(t, newConfig(t, erofsRoot(t, dir.Path)))
		t.Logf("booted in %v: %q", time.Since(begin), m.Receipt())
		require.Equal(t, "hi", output(t, m, "echo", "hi"))
		for range 3 {
			begin = time.Now()
			require.Equal(t, "hi", output(t, m, "echo", "hi"))
			t.Log(time.Since(begin))
		}
		begin = time.Now()
		require.NoError(t, m.Close())
		t.Log("close", time.Since(begin))
	})
}

func TestHostRootRunsPython(t *testing.T) {
	begin := time.Now()
	m := bootMachine(t, newConfig(t, image.Root{}))
	t.Logf("booted in %v: %q", time.Since(begin), m.Receipt())
	t.Log(output(t, m, "sh", "-c", "ls -la / /etc /usr /tmp; id; pwd; cat /proc/self/limits /proc/self/status; mount; df"))
	require.Equal(t, "42", output(t, m, "python3", "-c", "import ssl, ctypes; print(6*7)"))
}
