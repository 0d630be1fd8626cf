// Command bench measures the library beside stock runsc of the same version of
// gVisor, in the same run and in turns, and writes build/bench.json. It is no
// test: a slow figure does not fail it. A lost byte does, and so does whatever a
// sandbox leaves behind.
//
// `make bench` builds what it needs; it runs from the root of the repository.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// timeLimit bounds the whole run: it is far above what a full one takes.
const timeLimit = 15 * time.Minute

type settings struct {
	repository  string
	build       string // <repository>/build
	runs        int
	streamBytes int64
	only        []string // groups of figures; empty is all
}

// product is a path below build/.
func (s settings) product(elements ...string) string {
	return filepath.Join(append([]string{s.build}, elements...)...)
}

func main() {
	runs := flag.Int("runs", 20, "measurements of each figure")
	mebibytes := flag.Int64("stream", 1024, "MiB in one stream")
	only := flag.String("only", "", "groups of figures, with commas between: "+strings.Join(groupNames(), ","))
	flag.Parse()
	if *runs < 1 || *mebibytes < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "bench: -runs and -stream must be at least 1, and there are no arguments")
		os.Exit(2)
	}
	s := settings{runs: *runs, streamBytes: *mebibytes << 20}
	if *only != "" {
		s.only = strings.Split(*only, ",")
	}
	for _, name := range s.only {
		if !slices.Contains(groupNames(), name) {
			fmt.Fprintf(os.Stderr, "bench: no figures %q: -only takes %s\n", name, strings.Join(groupNames(), ","))
			os.Exit(2)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	err := run(ctx, s)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	var err error
	if s.repository, err = os.Getwd(); err != nil {
		return err
	}
	s.build = filepath.Join(s.repository, "build")
	if err := samePin(s.product("bin", "msb"), s.product("bench", "runsc"), "gvisor.dev/gvisor"); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "msb-bench-")
	if err != nil {
		return err
	}
	defer removeAll(scratch)

	before := lookAtMachine()
	started := time.Now()
	m, err := measureAll(ctx, s, scratch)
	if ctx.Err() != nil {
		return fmt.Errorf("stopped after %.0f s: %w", time.Since(started).Seconds(), context.Cause(ctx))
	}
	if err != nil {
		return err
	}
	printMachine(os.Stdout, before, lookAtMachine(), s.runs, time.Since(started))
	printTable(os.Stdout, m.figures)
	printNotes(os.Stdout, m.notes)
	return errors.Join(writeJSON(s.product("bench.json"), m.figures), m.broken())
}

// measureAll brings the sides up, measures, and takes them down again.
func measureAll(ctx context.Context, s settings, scratch string) (*measurement, error) {
	roots, err := makeRoots(ctx, s, scratch)
	if err != nil {
		return nil, err
	}
	peer, err := newPeer(ctx, s, scratch, roots)
	if err != nil {
		return nil, err
	}
	m := &measurement{settings: s, roots: roots, peer: peer, stateDir: filepath.Join(scratch, "state")}
	if m.host, err = startHost(ctx, s, m.stateDir); err != nil {
		return nil, err
	}
	defer m.host.stop()
	return m, m.all(ctx)
}
