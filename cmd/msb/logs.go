package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/logs"
)

func logsCommand(args []string) int {
	f := newFlags("logs")
	state := stateFlag(f)
	var o core.LogOptions
	var sources listFlag
	follow := f.Bool("f", false, "go on until the sandbox ends")
	tail := f.Int64("tail", math.MaxInt64, "only the last lines")
	since := f.String("since", "", "time or age")
	stamps := f.Bool("t", false, "time, source and program before each line")
	f.Uint64Var(&o.Program, "program", 0, "only of this one")
	f.Var(&sources, "source", "stdout, stderr or supervisor")
	if f.Parse(args) != nil {
		return exitUsage
	}
	o.Follow = *follow
	err := logOptions(&o, *tail, *since, sources)
	if err == nil && f.NArg() != 1 {
		err = fmt.Errorf("needs the name of one sandbox")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "msb logs: %v: see msb help\n", err)
		return exitUsage
	}
	r, err := core.ReadLogs(f.Arg(0), state(), o)
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	show := showRaw
	if *stamps {
		show = showStamped
	}
	for e, err := range r.All(ctx) {
		if err == nil {
			err = show(&e)
		}
		if ctx.Err() != nil {
			return 0
		}
		if err != nil {
			return fail(err)
		}
	}
	return 0
}

func logOptions(o *core.LogOptions, tail int64, since string, sources []string) error {
	switch {
	case tail < 0:
		return fmt.Errorf("--tail %d: a number of lines", tail)
	case tail == 0:
		o.Lines = -1 // only what comes
	case tail != math.MaxInt64:
		o.Lines = tail
	}
	for _, name := range sources {
		known := map[string]logs.Source{"stdout": logs.Stdout, "stderr": logs.Stderr, "supervisor": logs.Supervisor}
		source, ok := known[name]
		if !ok {
			return fmt.Errorf("--source %q: stdout, stderr or supervisor", name)
		}
		o.Sources = append(o.Sources, source)
	}
	if since == "" {
		return nil
	}
	if age, err := time.ParseDuration(since); err == nil && age >= 0 {
		o.Since = time.Now().Add(-age)
		return nil
	}
	at, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return fmt.Errorf("--since %q: an age such as 10m, or a time such as 2006-01-02T15:04:05Z", since)
	}
	o.Since = at
	return nil
}

// showRaw gives the streams as they were; what else there is goes to stderr.
func showRaw(e *core.LogEntry) error {
	var err error
	switch e.Source {
	case logs.Stdout:
		_, err = os.Stdout.Write(e.Content)
	case logs.Stderr:
		_, err = os.Stderr.Write(e.Content)
	case logs.Gap:
		_, err = fmt.Fprintf(os.Stderr, "[%d bytes are missing: %s]\n", e.Missed, e.Content)
	default:
		_, err = fmt.Fprintf(os.Stderr, "[supervisor] %s", e.Content)
	}
	return err
}

// showStamped gives lines, each with what is known of it.
func showStamped(e *core.LogEntry) error {
	head := fmt.Sprintf("%s %s ", e.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), e.Source)
	if e.Program != 0 {
		head += fmt.Sprintf("%d ", e.Program)
	}
	content := e.Content
	if e.Source == logs.Gap {
		content = fmt.Appendf(nil, "%d bytes are missing: %s", e.Missed, e.Content)
	}
	var out bytes.Buffer
	for line := range bytes.SplitSeq(bytes.TrimSuffix(content, []byte{'\n'}), []byte{'\n'}) {
		out.WriteString(head)
		out.Write(line)
		out.WriteByte('\n')
	}
	_, err := io.Copy(os.Stdout, &out)
	return err
}
