package runtime

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

type plain struct{ name string }

func (e plain) Name() string                                              { return e.name }
func (plain) Boot(context.Context, engine.Config) (engine.Machine, error) { return nil, nil }

type limiting struct{ plain }

func (limiting) DefaultLimits(memory uint64) engine.Limits {
	return engine.Limits{Processes: uint32(memory), OpenFiles: 7}
}

// An engine that does not enforce a limit is never taken for who asks for one.
func TestLimitsDecideOnTheEngine(t *testing.T) {
	engines := []engine.Engine{plain{"strong"}, limiting{plain{"limiting"}}}
	for _, c := range []struct {
		name   string
		limits engine.Limits
		want   string
	}{
		{"", engine.Limits{}, "strong"},
		{"strong", engine.Limits{}, "strong"},
		{"", engine.Limits{Processes: 1}, "limiting"},
		{"", engine.Limits{CPUWeight: 1}, "limiting"},
		{"limiting", engine.Limits{OpenFiles: 1}, "limiting"},
		{"strong", engine.Limits{CPUPermille: 1}, ""},
		{"none", engine.Limits{}, ""},
	} {
		e, err := pickEngine(context.Background(), engines, c.name, engine.Config{Limits: c.limits})
		if c.want == "" {
			assert.Equal(t, fault.Unsupported, fault.From(err).Code, "%+v", c)
		} else if assert.NoError(t, err) {
			assert.Equal(t, c.want, e.Name(), "%+v", c)
		}
	}
}

func TestDefaultLimitsAreTheEngines(t *testing.T) {
	s := newSupervisor()
	s.cfg.MemoryBytes, s.cfg.Limits = 5, control.Limits{OpenFiles: 9}
	s.engine = plain{}
	assert.Equal(t, control.Limits{OpenFiles: 9}, s.limitsInForce())
	s.engine = limiting{}
	assert.Equal(t, control.Limits{Processes: 5, OpenFiles: 9}, s.limitsInForce())
	assert.Equal(t, engine.Limits{Processes: 5, OpenFiles: 9}, s.engineLimits())
}

func TestAllowance(t *testing.T) {
	over := 0
	a := newAllowance(10, func() { over++ })
	assert.Equal(t, 10, a.take(10))
	assert.Zero(t, over)
	assert.Zero(t, a.take(1))
	assert.Zero(t, a.take(5))
	assert.Equal(t, 1, over, "told once")
	assert.Equal(t, 3, newAllowance(3, func() {}).take(4), "what fits is allowed")
	assert.Equal(t, 100, newAllowance(0, nil).take(100), "no limit")
}
