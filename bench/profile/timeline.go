//go:build profile

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/failpoint"
)

// step is a point in time of one life.
type step struct {
	name string
	at   int64 // nanoseconds since 1970
}

// timeline is all steps of one life in their order.
type timeline []step

// read takes the steps of the last life out of the trace and the sentry's log.
func read(state string) (timeline, error) {
	var line timeline
	trace, err := os.Open(filepath.Join(state, failpoint.TraceName))
	if err != nil {
		return nil, err
	}
	defer trace.Close()
	for lines := bufio.NewScanner(trace); lines.Scan(); {
		at, rest, _ := strings.Cut(lines.Text(), " ")
		pid, name, ok := strings.Cut(rest, " ")
		t, err := strconv.ParseInt(at, 10, 64)
		if err != nil || !ok {
			return nil, fmt.Errorf("trace: %q", lines.Text())
		}
		who := "supervisor"
		if pid == strconv.Itoa(os.Getpid()) {
			who = "library"
		}
		line = append(line, step{who + ": " + name, t})
	}
	if err := os.Truncate(trace.Name(), 0); err != nil {
		return nil, err
	}
	logs, err := filepath.Glob(filepath.Join(state, "boot*.log"))
	if err != nil || len(logs) != 1 {
		return nil, fmt.Errorf("%d logs of the sentry instead of one (%v)", len(logs), err)
	}
	reached, err := midpoints(logs[0])
	if err != nil {
		return nil, err
	}
	line = append(line, reached...)
	slices.SortFunc(line, func(a, b step) int { return int(a.at - b.at) })
	return line, os.Remove(logs[0])
}

var midpoint = regexp.MustCompile(`Timeline runsc boot\S* reached midpoint (.*) at \S+ \(unix nanos: (\d+)\)`)

// midpoints finds gVisor's own timeline in its log.
func midpoints(path string) ([]step, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, m := range midpoint.FindAllStringSubmatch(string(data), -1) {
		t, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{"sentry: " + m[1], t})
	}
	return steps, nil
}

// printTable prints the median of each step over all lives, in the order of those
// medians. What is reached in not all of them is left out.
func printTable(w io.Writer, all []timeline) {
	const first = "library: create called"
	ats := map[string][]float64{}
	for _, line := range all {
		start := slices.IndexFunc(line, func(s step) bool { return s.name == first })
		seen := map[string]bool{}
		for _, s := range line {
			if start >= 0 && !seen[s.name] {
				seen[s.name] = true
				ats[s.name] = append(ats[s.name], milliseconds(time.Duration(s.at-line[start].at)))
			}
		}
	}
	type row struct {
		name string
		at   float64
	}
	var rows []row
	for name, at := range ats {
		if len(at) == len(all) {
			slices.Sort(at)
			rows = append(rows, row{name, at[len(at)/2]})
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		if a.at < b.at {
			return -1
		}
		return 1
	})
	total := rows[len(rows)-1].at
	fmt.Fprintf(w, "%d lives; medians in ms. The sentry writes a log meanwhile, so all is slower than in the product.\n\n", len(all))
	fmt.Fprintln(w, "|     at |  took | share | until this step |\n|---|---|---|---|")
	last := rows[0].at
	for _, r := range rows {
		fmt.Fprintf(w, "| %6.1f | %5.1f | %4.0f%% | %s |\n", r.at, r.at-last, 100*(r.at-last)/total, r.name)
		last = r.at
	}
}
