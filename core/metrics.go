package core

import (
	"errors"
	"io"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/metrics"
)

// Metrics is what one sandbox used, as its supervisor wrote last.
type Metrics = metrics.Entry

// ReadMetrics returns the metrics of all living sandboxes that are sampled. It
// asks none of them and stops no writer.
func ReadMetrics(state State) ([]Metrics, error) {
	registry, err := openMetrics(state)
	if err != nil || registry == nil {
		return nil, err
	}
	defer registry.Close()
	return registry.Active()
}

// ReadMetricsOf returns the metrics of one living sandbox.
func ReadMetricsOf(name string, state State) (Metrics, error) {
	registry, err := openMetrics(state)
	if err != nil {
		return Metrics{}, err
	}
	if registry == nil {
		return Metrics{}, fault.New(fault.NotFound, fault.StageState, "no metrics of sandbox %q", name)
	}
	defer registry.Close()
	entry, err := registry.ByName(name)
	if err == nil && (entry.State != metrics.Active || !entry.HasSample) {
		err = fault.New(fault.NotFound, fault.StageState, "no metrics of sandbox %q: it has not been sampled yet, or does not run", name)
	}
	return entry, err
}

// Metrics returns the last sample of the sandbox.
func (s *Sandbox) Metrics() (Metrics, error) {
	return ReadMetricsOf(s.Name(), State{Dir: s.StateDir()})
}

// WriteOpenMetrics writes the metrics of all living sandboxes as OpenMetrics text.
func WriteOpenMetrics(w io.Writer, state State) error {
	entries, err := ReadMetrics(state)
	if err != nil {
		return err
	}
	return metrics.WriteOpenMetrics(w, entries)
}

func openMetrics(state State) (*metrics.Registry, error) {
	dir, err := state.Resolve()
	if err != nil {
		return nil, err
	}
	registry, err := metrics.OpenExisting(dir)
	if errors.Is(err, &fault.Error{Code: fault.NotFound}) {
		return nil, nil
	}
	return registry, err
}
