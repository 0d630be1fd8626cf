package logs

import (
	"context"
	"os"
	"time"
)

// lookEvery is how often a follower looks for what is new.
const lookEvery = 100 * time.Millisecond

// watch waits until it is time to look again.
type watch struct{}

func newWatch(*os.File) *watch { return &watch{} }

func (w *watch) close() {}

func (w *watch) wait(ctx context.Context) error {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
