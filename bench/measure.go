package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// Goals and limits, from the product's requirements.
const (
	goalFirstOutput = 0.9
	goalExec        = 0.6
	limitLibrary    = 8 << 20
	limitMsb        = 45 << 20
)

// warmUps fill the page cache before the measured runs.
const warmUps = 2

type measurement struct {
	settings
	roots roots
	peer  *peer
	host  *host
}

func (m *measurement) all(ctx context.Context) ([]figure, error) {
	var figures []figure
	for _, step := range []func(context.Context) ([]figure, error){m.cold, m.standing, m.sizes} {
		more, err := step(ctx)
		if err != nil {
			return nil, err
		}
		figures = append(figures, more...)
	}
	return figures, nil
}

// inTurns calls both sides runs times, each first in every other turn, after
// warm-ups, and returns the answers by number: answers[i] are all i-th numbers.
func (m *measurement) inTurns(ours, peer func() ([]float64, error)) (our, their [][]float64, err error) {
	sides := []func() ([]float64, error){ours, peer}
	answers := make([][][]float64, len(sides))
	for turn := range warmUps + m.runs {
		order := []int{0, 1}
		if turn%2 == 1 {
			slices.Reverse(order)
		}
		for _, side := range order {
			numbers, err := sides[side]()
			if err != nil {
				return nil, nil, err
			}
			if turn < warmUps {
				continue
			}
			for len(answers[side]) < len(numbers) {
				answers[side] = append(answers[side], nil)
			}
			for i, n := range numbers {
				answers[side][i] = append(answers[side][i], n)
			}
		}
	}
	return answers[0], answers[1], nil
}

// compare summarises the two sides, each measurement changed by convert.
func compare(ours, peer []float64, convert func(float64) float64) (summary, *summary) {
	apply := func(values []float64) summary {
		converted := make([]float64, len(values))
		for i, v := range values {
			converted[i] = convert(v)
		}
		return summarise(converted)
	}
	theirs := apply(peer)
	return apply(ours), &theirs
}

func milliseconds(nanoseconds float64) float64 { return nanoseconds / 1e6 }

// cold measures whole lives of sandboxes, with no other one running.
func (m *measurement) cold(context.Context) ([]figure, error) {
	var figures []figure
	for _, kind := range []string{"erofs", "dir"} {
		suffix := map[string]string{"dir": "_dir"}[kind]
		ours, peer, err := m.inTurns(
			func() ([]float64, error) { return m.host.ask("cold", kind, m.roots.path(kind), "/bin/echo", "hi") },
			func() ([]float64, error) { return m.onPeer(0, 0, m.peer.runCommand(kind)) },
		)
		if err != nil {
			return nil, err
		}
		first := figure{name: "cold_create_to_first_output" + suffix, unit: "ms", peerName: "runsc run", goal: goalFirstOutput}
		closed := figure{name: "cold_create_to_closed" + suffix, unit: "ms", peerName: "runsc run"}
		first.ours, first.peer = compare(ours[0], peer[0], milliseconds)
		closed.ours, closed.peer = compare(ours[1], peer[1], milliseconds)
		figures = append(figures, first, closed)
	}
	return figures, nil
}

// sandboxName is that of the sandbox that stays open.
const sandboxName = "bench"

// standing measures what happens in a sandbox that is there already.
func (m *measurement) standing(ctx context.Context) ([]figure, error) {
	end, err := m.peer.stand(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := m.host.ask("open", "erofs", m.roots.erofs, sandboxName); err != nil {
		return nil, err
	}
	var figures []figure
	for _, step := range []func(context.Context) ([]figure, error){m.exec, m.streams, m.calls} {
		more, err := step(ctx)
		if err != nil {
			return nil, err
		}
		figures = append(figures, more...)
	}
	_, err = m.host.ask("close")
	return figures, err
}

func (m *measurement) exec(context.Context) ([]figure, error) {
	ours, peer, err := m.inTurns(
		func() ([]float64, error) { return m.onLibrary(0, 0, "/bin/echo", "hi") },
		func() ([]float64, error) { return m.onPeer(0, 0, m.peer.execCommand("/bin/echo", "hi")) },
	)
	if err != nil {
		return nil, err
	}
	first := figure{name: "exec_to_first_output", unit: "ms", peerName: "runsc exec"}
	exit := figure{name: "exec_to_exit", unit: "ms", peerName: "runsc exec", goal: goalExec}
	first.ours, first.peer = compare(ours[0], peer[0], milliseconds)
	exit.ours, exit.peer = compare(ours[1], peer[1], milliseconds)
	return []figure{first, exit}, nil
}

// streams measures one stream in each direction; both ends check every byte.
func (m *measurement) streams(context.Context) ([]figure, error) {
	megabytesPerSecond := func(nanoseconds float64) float64 {
		return float64(m.streamBytes) / 1e6 / (nanoseconds / 1e9)
	}
	bytes := strconv.FormatInt(m.streamBytes, 10)
	var figures []figure
	for _, stream := range []struct {
		name          string
		input, output int64
		argv          []string
	}{
		{"stdout", 0, m.streamBytes, []string{"/bin/guest", "send", bytes}},
		{"stdin", m.streamBytes, 0, []string{"/bin/guest", "receive", bytes}},
	} {
		ours, peer, err := m.inTurns(
			func() ([]float64, error) { return m.onLibrary(stream.input, stream.output, stream.argv...) },
			func() ([]float64, error) {
				return m.onPeer(stream.input, stream.output, m.peer.execCommand(stream.argv...))
			},
		)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", stream.name, err)
		}
		f := figure{name: stream.name + "_stream", unit: "MB/s", peerName: "runsc exec", atLeast: true}
		f.ours, f.peer = compare(ours[1], peer[1], megabytesPerSecond)
		figures = append(figures, f)
	}
	return figures, nil
}

func (m *measurement) onLibrary(input, output int64, argv ...string) ([]float64, error) {
	return m.runOn("library", input, output, argv)
}

func (m *measurement) onPeer(input, output int64, argv []string) ([]float64, error) {
	return m.runOn("peer", input, output, argv)
}

func (m *measurement) runOn(side string, input, output int64, argv []string) ([]float64, error) {
	words := []string{"run", side, strconv.FormatInt(input, 10), strconv.FormatInt(output, 10)}
	return m.host.ask(append(words, argv...)...)
}

func (m *measurement) sizes(context.Context) ([]figure, error) {
	var figures []figure
	for _, product := range []struct {
		name  string
		path  string
		limit float64
	}{
		{"library_size", m.product("lib", "libmicrosandbox.so"), limitLibrary},
		{"msb_size", m.product("bin", "msb"), limitMsb},
	} {
		info, err := os.Stat(product.path)
		if err != nil {
			return nil, err
		}
		f := figure{name: product.name, unit: "bytes", ours: summarise([]float64{float64(info.Size())})}
		figures = append(figures, f.against(product.limit))
	}
	return figures, nil
}
