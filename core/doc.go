// Package core is libmicrosandbox for Go programs, and what the C ABI is made
// of: it creates, opens and lists sandboxes and runs programs in them.
//
//	sandbox, err := core.Create(core.Options{MsbPath: "/usr/libexec/microsandbox/msb"})
//	if err != nil { … }
//	defer sandbox.Close()
//	process, err := sandbox.Start(core.ProcessOptions{Argv: []string{"echo", "hello"}, …})
//	<-process.Done()
//
// Create and Start return at once with an object in state starting; Ready and
// Done are channels. The package reads no environment variables, changes no
// process-wide state, and imports neither the supervisor nor an engine: they run
// in the msb executable.
package core
