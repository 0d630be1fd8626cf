// Package helper is the process that a program's terminal has on the host: it leads
// a session whose controlling terminal is the slave, so that the kernel sends it what
// a terminal sends (Ctrl-C, Ctrl-Z, a new size, a hang-up), and tells the supervisor,
// which signals the guest. It signals nobody itself.
//
// Importing this package makes a process whose argv[0] is Name such a helper, before
// the rest of the program is initialised: an engine would cost milliseconds and
// megabytes. Only the supervisor's executable imports it.
package helper

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Name is the first word of a helper's command line.
const Name = "msb-terminal"

// The descriptors of a helper.
const (
	slaveFD  = 0
	eventsFD = 1 // SOCK_SEQPACKET; a byte for each signal, 0 first. End of file ends the helper
)

// Signals are what a terminal sends and a helper tells.
var Signals = []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP, unix.SIGWINCH}

func init() {
	if len(os.Args) > 0 && os.Args[0] == Name {
		unix.Exit(serve())
	}
}

// serve is the helper's life. Its first byte says that from now on nothing is missed.
func serve() int {
	seen := make(chan os.Signal, 16)
	signal.Notify(seen, Signals...)
	tell(0)
	if _, err := unix.IoctlGetWinsize(slaveFD, unix.TIOCGWINSZ); err != nil {
		tell(unix.SIGHUP) // it was hung up before
	}
	go func() {
		for sig := range seen {
			tell(sig.(unix.Signal))
		}
	}()
	var buf [1]byte
	for {
		// The supervisor says nothing: it is there, or it is gone.
		if _, err := unix.Read(eventsFD, buf[:]); err != unix.EINTR && err != unix.EAGAIN {
			return 0
		}
	}
}

// tell sends one byte. Should the supervisor not read, it is lost, as one more of a
// signal that is pending is.
func tell(sig unix.Signal) {
	unix.SendmsgN(eventsFD, []byte{byte(sig)}, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}
