// Package agent is the host's side of the guest agent, for engines whose machines
// have a kernel of their own. The agent (core/agent/guest) is the guest's pid 1 and
// speaks the protocol of core/agent/wire over one byte stream, a virtio-serial port.
//
// A Client serves one machine:
//
//	c := agent.NewClient(port, agent.Options{Log: cfg.Log})
//	welcome, err := c.Hello(ctx)             // the kernel is up
//	err = c.Configure(ctx, &wire.Config{…})  // root, overlay, mounts
//	process, err := c.Start(ctx, program)    // an engine.Process
//	err = c.SignalAll(ctx, syscall.SIGTERM)
//	err = c.PowerOff(ctx)                    // flushes; Done is closed when the stream ends
//	err = c.Close()                          // no process or goroutine of ours is left
//
// The guest is hostile. It is held to the protocol's limits, and a byte that breaks
// the rules ends the stream: Done is closed, Err says why, and the engine ends the
// machine. It can make the host keep no more than wire.Window bytes for each output
// of a program, and a few words for each request. What it does not answer times out.
package agent
