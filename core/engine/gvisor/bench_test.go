package gvisor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/enginetest"
)

// BenchmarkColdStart is from Boot to the first program's end.
func BenchmarkColdStart(b *testing.B) {
	root := erofsRoot(b, busyboxRoot(b).Path)
	for b.Loop() {
		m := bootMachine(b, newConfig(b, root))
		require.Equal(b, "hi", output(b, m, "echo", "hi"))
		b.StopTimer()
		m.Close()
		b.StartTimer()
	}
}

// BenchmarkExec is from Start to the program's end, in a machine that runs.
func BenchmarkExec(b *testing.B) {
	m := bootMachine(b, newConfig(b, erofsRoot(b, busyboxRoot(b).Path)))
	for name, env := range map[string][]string{"direct": defaultEnv, "launcher": twice} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				execOnce(b, m, env)
			}
		})
	}
}

func execOnce(b *testing.B, m engine.Machine, env []string) {
	r, err := spawn(b, m, engine.Program{Argv: []string{"true"}, Env: env})
	require.NoError(b, err)
	require.Equal(b, enginetest.Result{}, r.Result())
}
