package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine is what the figures depend on besides the programs.
type machine struct {
	kernel string
	load   float64 // one-minute load average
	stolen float64 // ticks that the hypervisor took, and all ticks
	total  float64
}

// busyLoad is the load at the start above which other work was running.
const busyLoad = 0.5

func lookAtMachine() machine {
	var m machine
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.kernel = strings.TrimSpace(string(release))
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Sscan(string(load), &m.load)
	}
	// The first line: cpu user nice system idle iowait irq softirq steal …
	if stat, err := os.ReadFile("/proc/stat"); err == nil {
		line, _, _ := bytes.Cut(stat, []byte("\n"))
		for i, field := range strings.Fields(string(line)) {
			ticks, err := strconv.ParseFloat(field, 64)
			if err != nil || i > 8 {
				continue
			}
			m.total += ticks
			if i == 8 {
				m.stolen = ticks
			}
		}
	}
	return m
}

func printMachine(w io.Writer, before, after machine, runs int, took time.Duration) {
	privilege := "root"
	if os.Geteuid() != 0 {
		privilege = "unprivileged"
	}
	stolen := 0.0
	if ticks := after.total - before.total; ticks > 0 {
		stolen = 100 * (after.stolen - before.stolen) / ticks
	}
	fmt.Fprintf(w, "%s, Linux %s %s, %d CPUs, %s, %d runs each, %.0f s, load before %.2f, stolen %.1f%%\n\n",
		time.Now().UTC().Format("2006-01-02"), before.kernel, runtime.GOARCH, runtime.NumCPU(), privilege,
		runs, took.Seconds(), before.load, stolen)
	if before.load > busyLoad {
		fmt.Fprintf(w, "The machine was not idle (load %.2f): repeat for figures to rely on.\n\n", before.load)
	}
}
