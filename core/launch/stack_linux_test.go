package launch

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The room for a host's signal handlers is on the goroutine's stack. Not parallel: it
// looks at all stacks.
func TestGrowStack(t *testing.T) {
	grown := make(chan int64)
	go func() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		growStack()
		runtime.ReadMemStats(&after)
		grown <- int64(after.StackInuse) - int64(before.StackInuse)
	}()
	assert.Greater(t, <-grown, int64(handlerRoom))
	assert.Zero(t, testing.AllocsPerRun(10, func() { growStack() }), "nothing is on the heap")
}
