package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/handle"
)

// limitFlags adds the limits of a sandbox besides memory and overlay.
func limitFlags(f *flag.FlagSet) func() core.Limits {
	var cpus cpusFlag
	f.Var(&cpus, "cpus", "processors, such as 0.5")
	weight := f.Uint("cpu-weight", 0, "share")
	time := f.Duration("cpu-time", 0, "processor time in all")
	processes := f.Uint("max-processes", 0, "processes and threads")
	files := f.Uint("max-open-files", 0, "open files of a process")
	return func() core.Limits {
		return core.Limits{
			CPUPermille: uint32(cpus), CPUWeight: narrow(*weight), CPUTime: *time,
			Processes: narrow(*processes), OpenFiles: narrow(*files),
		}
	}
}

// narrow keeps what is too large too large: the library says which option it is.
func narrow(n uint) uint32 { return uint32(min(uint64(n), math.MaxUint32)) }

// cpusFlag is a number of processors, kept in thousandths.
type cpusFlag uint32

func (c *cpusFlag) String() string { return "" }

func (c *cpusFlag) Set(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= core.MinCPUPermille/1000. && n <= core.MaxCPUPermille/1000.) {
		return fmt.Errorf("%q is not a number of processors such as 0.5", text)
	}
	*c = cpusFlag(math.Round(n * 1000))
	return nil
}

// limitTexts say which limit was met, and where to look.
var limitTexts = []struct {
	limit uint32
	text  string
}{
	{handle.LimitHitMemory, "the sandbox needed more memory than its limit: see --memory"},
	{handle.LimitHitCPUTime, "the program reached its limit of processor time: see --cpu-time and --ulimit cpu"},
	{handle.LimitHitWallTime, "the program reached its limit of time: see --timeout"},
	{handle.LimitHitProcesses, "the program reached the limit of processes and threads: see --max-processes"},
	{handle.LimitHitOutput, "the program wrote more than its limit of output: see --output-max"},
	{handle.LimitHitFileSize, "the program reached its limit of file sizes: see --ulimit fsize"},
	{handle.LimitHitOverlay, "no room was left for changes to files: see --overlay"},
	{handle.LimitHitOpenFiles, "a process reached its limit of open files: see --max-open-files and --ulimit nofile"},
}

// tellLimits prints a line for each limit that a program has met.
func tellLimits(out core.Outcome) {
	for _, l := range limitTexts {
		if out.Limits&l.limit != 0 {
			fmt.Fprintln(os.Stderr, "msb:", l.text)
		}
	}
}
