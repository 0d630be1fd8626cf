package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/metrics"
)

func metricsCommand(args []string) int {
	f := newFlags("metrics")
	state := stateFlag(f)
	if f.Parse(args) != nil {
		return exitUsage
	}
	if err := core.WriteOpenMetrics(os.Stdout, state()); err != nil {
		return fail(err)
	}
	return 0
}

// clearScreen homes the cursor and clears to the end: ECMA-48.
const clearScreen = "\x1b[H\x1b[J"

func topCommand(args []string) int {
	f := newFlags("top")
	state := stateFlag(f)
	interval := f.Duration("interval", time.Second, "between two looks")
	count := f.Int("n", 0, "how often to look; 0: until a signal")
	if f.Parse(args) != nil || *interval <= 0 {
		return exitUsage
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	tick := time.NewTicker(*interval)
	defer tick.Stop()
	for n := 1; ; n++ {
		entries, err := core.ReadMetrics(state())
		if err != nil {
			return fail(err)
		}
		if *count != 1 {
			fmt.Print(clearScreen)
		}
		printTop(os.Stdout, entries)
		if n == *count {
			return 0
		}
		select {
		case <-tick.C:
		case <-signals:
			return 0
		}
	}
}

func printTop(out io.Writer, entries []core.Metrics) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tPROGRAMS\tCPU%\tCPU\tMEMORY\tPEAK\tLIMIT\tUPTIME")
	for _, e := range entries {
		cpu := "-"
		if e.Sample.Has(metrics.HasCPUPermille) {
			cpu = fmt.Sprintf("%.1f", float64(e.Sample.CPUPermille)/10)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%v\t%s\t%s\t%s\t%v\n", e.Name, e.Sample.Programs, cpu, e.Sample.CPUTime.Round(10*time.Millisecond),
			mib(e.Sample.MemoryUsedBytes), mib(e.Sample.MemoryPeakBytes), mib(e.Limits.MemoryBytes), e.Sample.Uptime.Round(time.Second))
	}
	w.Flush()
}

func mib(bytes uint64) string { return fmt.Sprintf("%d MiB", (bytes+1<<19)>>20) }
