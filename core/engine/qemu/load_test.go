package qemu

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A guest that is preempted must boot all the same: beside two hogs of the processor,
// each time. $MSB_TEST_BOOTS is how often; 60 of 60 is what is promised.
func TestBootsBesideHogs(t *testing.T) {
	if testing.Short() {
		t.Skip("boots many machines: make test does")
	}
	boots := 2
	if text := os.Getenv("MSB_TEST_BOOTS"); text != "" {
		var err error
		boots, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	cfg := testConfig(t)
	h, err := sandboxer{}.findHost(cfg)
	require.NoError(t, err)
	var hogs sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for range 2 {
		hogs.Go(func() {
			for ctx.Err() == nil {
			}
		})
	}
	defer hogs.Wait()
	defer stop()
	for i := range boots {
		require.NoError(t, h.probe(t.Context(), limit), "boot %d", i)
	}
	t.Logf("%d of %d boots", boots, boots)
}
