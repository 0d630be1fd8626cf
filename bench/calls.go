package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// What one call of msb_sandbox_pid may cost, in nanoseconds.
const (
	limitCallC    = 100
	limitCallNode = 300
)

// Calls in one measurement: a millisecond or two, less than a slice of processor
// time, so that on a busy machine the median is one without an interruption.
const (
	callsC      = 20_000
	callsNode   = 10_000
	callsPython = 1_000
)

// calls measures what crossing into the library costs, from each language.
func (m *measurement) calls(ctx context.Context) ([]figure, error) {
	c, err := m.callC()
	if err != nil {
		return nil, err
	}
	programs := m.repository + "/bench/programs/"
	node, err := m.batches(ctx, []string{"node", programs + "calls.mjs", m.repository, m.stateDir, sandboxName}, callsNode)
	if err != nil {
		return nil, err
	}
	python, err := m.batches(ctx, []string{"python3", programs + "calls.py", m.stateDir, sandboxName}, callsPython)
	if err != nil {
		return nil, err
	}
	return []figure{
		figure{name: "call_c", unit: "ns", ours: c}.against(limitCallC),
		figure{name: "call_node", unit: "ns", ours: node}.against(limitCallNode),
		{name: "call_python", unit: "ns", ours: python},
	}, nil
}

func (m *measurement) callC() (summary, error) {
	var values []float64
	for i := range warmUps + m.runs {
		numbers, err := m.host.ask("calls", strconv.Itoa(callsC))
		if err != nil {
			return summary{}, err
		}
		if i >= warmUps {
			values = append(values, numbers[0]/callsC)
		}
	}
	return summarise(values), nil
}

// batches runs a program that opens the sandbox by name and prints one number a
// batch.
func (m *measurement) batches(ctx context.Context, argv []string, calls int) (summary, error) {
	argv = append(argv, strconv.Itoa(m.runs), strconv.Itoa(calls))
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(),
		"PYTHONPATH="+filepath.Join(m.repository, "bindings/python/src"),
		"PYTHONDONTWRITEBYTECODE=1",
		"MSB_LIBRARY="+m.product("lib", "libmicrosandbox.so.0"))
	out, err := cmd.Output()
	if err != nil {
		return summary{}, fmt.Errorf("%s: %w", strings.Join(argv[:2], " "), err)
	}
	var values []float64
	for _, line := range strings.Fields(string(out)) {
		value, err := strconv.ParseFloat(line, 64)
		if err != nil {
			return summary{}, fmt.Errorf("%s: %w", argv[1], err)
		}
		values = append(values, value)
	}
	if len(values) != m.runs {
		return summary{}, fmt.Errorf("%s: %d batches instead of %d", argv[1], len(values), m.runs)
	}
	return summarise(values), nil
}
