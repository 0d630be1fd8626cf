package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Goals and limits, from the product's requirements.
const (
	goalFirstOutput = 0.6
	goalPooled      = 0.15
	goalClosed      = 0.6
	goalExec        = 0.45
	goalBurst       = 0.6
	limitLibrary    = 8 << 20
	limitMsb        = 45 << 20
)

// fullRun is the number of runs in a full run: counts below are those of one.
const fullRun = 20

// warmUps fill the page cache before the measured runs.
const warmUps = 2

type measurement struct {
	settings
	roots    roots
	peer     *peer
	host     *host
	stateDir string // of the host's sandboxes

	figures  []figure
	notes    []string // what the table cannot say
	failures []string // promises that did not hold
}

// group is a set of figures that can be measured alone.
type group struct {
	name    string
	measure func(*measurement, context.Context) ([]figure, error)
}

var groups = []group{
	{"cold", (*measurement).cold},
	{"pooled", (*measurement).pooled},
	{"standing", (*measurement).standing},
	{"terminal", (*measurement).terminal},
	{"programs", (*measurement).programs},
	{"handle", (*measurement).handle},
	{"burst", (*measurement).burst},
	{"density", (*measurement).density},
	{"metrics", (*measurement).metrics},
	{"mounts", (*measurement).mounts},
	{"vm", (*measurement).vm},
	{"sizes", (*measurement).sizes},
}

func groupNames() []string {
	var names []string
	for _, g := range groups {
		names = append(names, g.name)
	}
	return names
}

func (m *measurement) all(ctx context.Context) error {
	for _, g := range groups {
		if len(m.only) > 0 && !slices.Contains(m.only, g.name) {
			continue
		}
		started := time.Now()
		figures, err := g.measure(m, ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		m.figures = append(m.figures, figures...)
		fmt.Fprintf(os.Stderr, "bench: %s took %.0f s\n", g.name, time.Since(started).Seconds())
	}
	return nil
}

func (m *measurement) note(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

// fails records a promise that did not hold: the run goes on and fails at its end.
func (m *measurement) fails(format string, args ...any) {
	m.failures = append(m.failures, fmt.Sprintf(format, args...))
}

func (m *measurement) broken() error {
	if len(m.failures) == 0 {
		return nil
	}
	return errors.New(strings.Join(m.failures, "; "))
}

func printNotes(w io.Writer, notes []string) {
	for _, note := range notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
}

// side measures once and answers with numbers.
type side func() ([]float64, error)

// inTurns calls the sides in turns, each first in turn, after warm-ups, and
// returns the answers by side and number: answers[s][i] are all i-th numbers.
func inTurns(warmUps, runs int, sides ...side) (answers [][][]float64, err error) {
	answers = make([][][]float64, len(sides))
	for turn := range warmUps + runs {
		for i := range sides {
			s := (turn + i) % len(sides)
			numbers, err := sides[s]()
			if err != nil {
				return nil, err
			}
			if turn < warmUps {
				continue
			}
			for len(answers[s]) < len(numbers) {
				answers[s] = append(answers[s], nil)
			}
			for i, n := range numbers {
				answers[s][i] = append(answers[s][i], n)
			}
		}
	}
	return answers, nil
}

// inTurns is for the two sides that most figures have: 30 times in a full run.
func (m *measurement) inTurns(ours, peer side) (our, their [][]float64, err error) {
	answers, err := inTurns(warmUps, m.runs*3/2, ours, peer)
	if err != nil {
		return nil, nil, err
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
func (m *measurement) cold(ctx context.Context) ([]figure, error) {
	small, err := m.smallPeers(ctx)
	if err != nil {
		return nil, err
	}
	figures, err := m.lives("erofs", "", append([]smallPeer{m.stock("erofs")}, small...))
	if err != nil {
		return nil, err
	}
	dir, err := m.lives("dir", "_dir", []smallPeer{m.stock("dir")})
	return append(figures, dir...), err
}

func (m *measurement) stock(kind string) smallPeer {
	return smallPeer{"", "runsc run", func() []string { return m.peer.runCommand(kind) }}
}

// lives measures ours beside each peer, all in turns. Only the first has goals.
func (m *measurement) lives(kind, suffix string, peers []smallPeer) ([]figure, error) {
	sides := []side{func() ([]float64, error) {
		return m.host.ask("cold", kind, m.roots.path(kind), "/bin/echo", "hi")
	}}
	for _, p := range peers {
		sides = append(sides, func() ([]float64, error) { return m.onPeer(0, 0, p.command()) })
	}
	answers, err := inTurns(warmUps, m.runs*3/2, sides...)
	if err != nil {
		return nil, err
	}
	var figures []figure
	for i, p := range peers {
		first := figure{name: "cold_create_to_first_output" + suffix + p.suffix, unit: "ms", peerName: p.name}
		closed := figure{name: "cold_create_to_closed" + suffix + p.suffix, unit: "ms", peerName: p.name}
		if i == 0 {
			first.goal, closed.goal = goalFirstOutput, goalClosed
		}
		first.ours, first.peer = compare(answers[0][0], answers[i+1][0], milliseconds)
		closed.ours, closed.peer = compare(answers[0][1], answers[i+1][1], milliseconds)
		figures = append(figures, first, closed)
	}
	return figures, nil
}

// sandboxName is that of the sandbox that stays open.
const sandboxName = "bench"

// standing measures what happens in a sandbox that is there already.
func (m *measurement) standing(ctx context.Context) ([]figure, error) {
	end, err := m.peer.stand(ctx, m.peer.standing)
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

// exec measures both ways of starting a program: gVisor's own call cannot carry a
// byte that is not UTF-8, so the second goes through the launcher in the guest.
func (m *measurement) exec(context.Context) ([]figure, error) {
	var figures []figure
	for _, way := range []struct{ suffix, argument string }{{"", "hi"}, {"_launcher", "h\xff"}} {
		ours, peer, err := m.inTurns(
			func() ([]float64, error) { return m.onLibrary(0, 0, "/bin/echo", way.argument) },
			func() ([]float64, error) { return m.onPeer(0, 0, m.peer.execCommand("/bin/echo", "hi")) },
		)
		if err != nil {
			return nil, err
		}
		first := figure{name: "exec_to_first_output" + way.suffix, unit: "ms", peerName: "runsc exec"}
		exit := figure{name: "exec_to_exit" + way.suffix, unit: "ms", peerName: "runsc exec", goal: goalExec}
		first.ours, first.peer = compare(ours[0], peer[0], milliseconds)
		exit.ours, exit.peer = compare(ours[1], peer[1], milliseconds)
		figures = append(figures, first, exit)
	}
	return figures, nil
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
