// Command owner is a host program that does what the lines on its standard input
// say, and says on its standard output what became of it:
//
//	arm DIR              look for a failpoint in this directory
//	create OPTIONS       core.Create with core.Options in JSON; also again, open
//	pool OPTIONS         core.PoolOptions in JSON; answered once it is full
//	take OPTIONS         core.TakeOptions in JSON, as create
//	unpool               ends the pool
//	start OPTIONS        core.ProcessOptions in JSON
//	drain, stop, close, kill, disarm, detach
//	fork                 a child with copies of all descriptors that does nothing, on Linux
//	spawn                a child by fork and exec that does nothing
//
// It answers "ready CODE", "done CAUSE", "started CODE", "ended CAUSE" and
// "VERB CODE", where CODE is an MSB_E_* number. At end of file it exits without
// any care for its sandbox.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func main() {
	var h host
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		h.do(verb, rest)
	}
}

type host struct {
	out  sync.Mutex
	sb   *core.Sandbox
	pool *core.Pool
}

func (h *host) say(word string, number int64) {
	h.out.Lock()
	defer h.out.Unlock()
	fmt.Println(word, number)
}

func code(err error) int64 {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "owner:", err)
	return int64(fault.From(err).Code)
}

func (h *host) do(verb, rest string) {
	switch verb {
	case "arm":
		failpoint.Arm(rest)
	case "create", "again", "open", "take":
		h.begin(verb, rest)
	case "pool":
		h.fill(rest)
	case "start":
		h.start(rest)
	case "fork":
		h.say(verb, fork())
	case "spawn":
		h.say(verb, spawn())
	default:
		go h.verb(verb)
	}
}

func (h *host) fill(rest string) {
	var o core.PoolOptions
	check(json.Unmarshal([]byte(rest), &o))
	var err error
	if h.pool, err = core.NewPool(o); err == nil {
		<-h.pool.Ready()
		err = h.pool.StartErr()
	}
	h.say("pool", code(err))
}

func (h *host) begin(verb, rest string) {
	var o core.Options
	var take core.TakeOptions
	var err error
	if verb == "take" {
		check(json.Unmarshal([]byte(rest), &take))
	} else {
		check(json.Unmarshal([]byte(rest), &o))
	}
	switch verb {
	case "take":
		h.sb, err = h.pool.Take(take)
	case "create":
		h.sb, err = core.Create(o)
	case "again":
		h.sb, err = core.StartStored(o)
	case "open":
		h.sb, err = core.Open(limited(), o.Name, o.State)
	}
	if err != nil {
		h.say("ready", code(err))
		return
	}
	sb := h.sb
	go func() {
		<-sb.Ready()
		h.say("ready", code(sb.StartErr()))
		<-sb.Done()
		h.say("done", int64(sb.Outcome().Cause))
	}()
}

func (h *host) start(rest string) {
	var o core.ProcessOptions
	check(json.Unmarshal([]byte(rest), &o))
	p, err := h.sb.Start(o)
	if err != nil {
		h.say("started", code(err))
		return
	}
	go func() {
		<-p.Ready()
		h.say("started", code(p.StartErr()))
		<-p.Done()
		h.say("ended", int64(p.Outcome().Cause))
	}()
}

func (h *host) verb(verb string) {
	var err error
	switch verb {
	case "drain":
		err = h.sb.Drain(-1)
	case "stop":
		err = h.sb.Stop(-1)
	case "kill":
		err = h.sb.Kill()
	case "disarm":
		err = h.sb.Disarm(limited())
	case "detach":
		err = h.sb.Detach(limited())
	case "close":
		h.sb.Close()
	case "unpool":
		h.pool.Close()
		<-h.pool.Done()
	default:
		check(fmt.Errorf("unknown line %q", verb))
	}
	h.say(verb, code(err))
}

// limited ends with the process.
func limited() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func spawn() int64 {
	cmd := exec.Command("sleep", "600")
	check(cmd.Start())
	return int64(cmd.Process.Pid)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "owner:", err)
		os.Exit(1)
	}
}
