package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/handle"
)

var stateNames = map[uint32]string{
	handle.StateStarting: "starting", handle.StateRunning: "running", handle.StateDraining: "draining",
	handle.StateStopped: "stopped", handle.StateCrashed: "crashed",
}

func listCommand(args []string) int {
	f := newFlags("ls")
	state := stateFlag(f)
	var labels listFlag
	all := f.Bool("a", false, "stopped ones too")
	pooled := f.Bool("pool", false, "those that wait in a pool, too")
	f.Var(&labels, "label", "NAME=VALUE")
	if f.Parse(args) != nil {
		return exitUsage
	}
	entries, err := core.List(state(), core.ListOptions{Labels: labels, Stopped: *all, Pooled: *pooled})
	if err != nil {
		return fail(err)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tENGINE\tPID\tAGE\tLIFE\tLABELS")
	for _, e := range entries {
		engine, pid := "-", "-"
		if name := core.Engine(e.Engine).String(); name != "" {
			engine = name
		}
		if e.Pid != 0 {
			pid = fmt.Sprint(e.Pid)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%v\t%s\t%s\n", e.Name, stateNames[e.State], engine, pid,
			time.Since(e.Created).Round(time.Second), life(e), strings.Join(e.Labels, ","))
	}
	w.Flush()
	return 0
}

func life(e core.Entry) string {
	words := []string{}
	switch {
	case e.Flags&core.FlagAttached != 0:
		words = append(words, "attached")
	case e.Pid != 0:
		words = append(words, "detached")
	}
	if e.Flags&core.FlagStored != 0 {
		words = append(words, "stored")
	}
	if e.Flags&core.FlagPooled != 0 {
		words = append(words, "in a pool")
	}
	return strings.Join(words, ",")
}

func auditCommand(args []string) int {
	f := newFlags("audit")
	state := stateFlag(f)
	if f.Parse(args) != nil {
		return exitUsage
	}
	findings, err := core.Audit(state())
	if err != nil {
		return fail(err)
	}
	status := 0
	for _, found := range findings {
		mark := ""
		if found.Orphan {
			mark, status = "  (belongs to no living sandbox)", 1
		}
		fmt.Printf("%s  %s%s\n", found.Kind, found.Detail, mark)
	}
	return status
}
