package harness

import (
	"os"

	"github.com/libmicrosandbox/microsandbox/core"
)

// Pooled reports whether sandboxes are to come from a pool: what holds of those that
// are created holds of these.
func Pooled() bool { return os.Getenv("MSB_TEST_POOL") == "1" }

// Begin creates a sandbox, or takes it from a pool that is made for it and closed at
// once, and returns it in state starting. Stored sandboxes never come from one.
func Begin(o core.Options) (*core.Sandbox, error) {
	if !Pooled() || o.Stored {
		return core.Create(o)
	}
	take := core.TakeOptions{
		Name: o.Name, Labels: o.Labels, Detached: o.Detached, Replace: o.Replace, ReplaceGrace: o.ReplaceGrace,
		IdleTimeout: o.IdleTimeout, MaxDuration: o.MaxDuration,
	}
	o.Name, o.Labels, o.Detached, o.Replace = "", nil, false, false
	p, err := core.NewPool(core.PoolOptions{Sandbox: o})
	if err != nil {
		return nil, err
	}
	defer func() {
		p.Close()
		<-p.Done()
	}()
	<-p.Ready()
	if err := p.StartErr(); err != nil {
		return nil, err
	}
	sb, err := p.Take(take)
	if err == nil {
		<-sb.Ready()
	}
	return sb, err
}
