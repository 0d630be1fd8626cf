package main

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

const keyboard = 0 // standard input

// checkTerminal refuses -t before a sandbox is made for it.
func checkTerminal(o core.ProcessOptions, detached bool) error {
	if o.Stdio[0].Kind != core.StdioPty {
		return nil
	}
	refuse := func(why string) error { return fault.New(fault.Invalid, fault.StageArgument, "%s", why) }
	switch {
	case detached:
		return refuse("-t: with --detach nobody is at the terminal")
	case o.Stdio[1].Kind != core.StdioPty:
		return refuse("-t: with --log the output is not shown")
	}
	if _, err := unix.IoctlGetTermios(keyboard, unix.TCGETS); err != nil {
		return refuse("-t: standard input is not a terminal: leave -t out, or start msb on a terminal")
	}
	return nil
}

// console is the terminal that msb was started on: raw while a program has it.
type console struct {
	before *unix.Termios // as it was found
	raw    bool
}

// grab makes it raw: all that is typed, Ctrl-C too, is the program's. In the
// background the kernel stops msb here until it is in the foreground again.
func (c *console) grab() error {
	if c.before == nil {
		before, err := unix.IoctlGetTermios(keyboard, unix.TCGETS)
		if err != nil {
			return os.NewSyscallError("TCGETS", err)
		}
		c.before = before
	}
	raw := *c.before
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	c.raw = true
	return os.NewSyscallError("TCSETS", unix.IoctlSetTermios(keyboard, unix.TCSETS, &raw))
}

// release restores it.
func (c *console) release() {
	if c.raw {
		c.raw = false
		unix.IoctlSetTermios(keyboard, unix.TCSETSW, c.before) // one that was hung up needs nothing
	}
}

// window is the console's size; a zero where it has none.
func window() core.TerminalSize {
	w, err := unix.IoctlGetWinsize(keyboard, unix.TIOCGWINSZ)
	if err != nil || w.Row == 0 || w.Col == 0 {
		return core.TerminalSize{}
	}
	return core.TerminalSize{Rows: uint32(w.Row), Cols: uint32(w.Col)}
}

// termOf passes the kind of the console on, unless it is none.
func termOf(o core.ProcessOptions) []string {
	name := os.Getenv("TERM")
	if name == "" || name == "dumb" || o.ClearEnv {
		return o.Env
	}
	return append([]string{"TERM=" + name}, o.Env...) // --env comes after and wins
}

// followTerminal runs a program on a terminal of its own that the console shows,
// and returns msb's exit status for it. The console is restored whatever happens.
func followTerminal(sb *core.Sandbox, o core.ProcessOptions, signals <-chan os.Signal) int {
	var c console
	defer c.release()
	o.Env, o.Window = termOf(o), window()
	job := make(chan os.Signal, 4)
	signal.Notify(job, syscall.SIGTSTP, syscall.SIGCONT)
	p, err := sb.Start(o)
	if err != nil {
		return fail(err)
	}
	defer p.Close()
	fd, err := p.Stdio(0)
	if err != nil {
		return fail(err)
	}
	unix.SetNonblock(fd, true) // nobody else has it
	master := os.NewFile(uintptr(fd), "terminal")
	defer master.Close() // the hang-up
	shown := make(chan struct{})
	stopTyping := func() {}
	defer func() { stopTyping() }()
	for ready := p.Ready(); ; {
		select {
		case <-ready:
			ready = nil
			if err := p.StartErr(); err != nil {
				return fail(err)
			}
			resize(master)
			if err := c.grab(); err != nil {
				return fail(fault.Wrap(err, fault.IO, fault.StageStdio, "terminal"))
			}
			stopTyping = typeInto(master)
			go func() {
				defer close(shown)
				io.Copy(os.Stdout, master)
			}()
		case sig := <-job:
			if sig == syscall.SIGTSTP {
				c.release()
				unix.Kill(os.Getpid(), unix.SIGSTOP)
			} else if ready == nil { // whoever had the console meanwhile has left it otherwise
				c.grab()
				resize(master)
			}
		case sig := <-signals:
			switch number := sig.(syscall.Signal); number {
			case syscall.SIGWINCH:
				resize(master)
			case syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM:
				p.Signal(int(number))
			default:
				return exitSignalFirst + int(number)
			}
		case <-p.Done():
			if err := p.StartErr(); err != nil {
				return fail(err)
			}
			if ready == nil {
				master.SetReadDeadline(time.Unix(1, 0))
				<-shown
			}
			stopTyping()
			drain(master)
			c.release()
			return exitStatus(sb, p.Outcome())
		}
	}
}

// typeInto copies what is typed until the returned function is called: from then on
// what is typed is for whoever has the console next.
func typeInto(master *os.File) (stop func()) {
	r, w, err := os.Pipe()
	if err != nil {
		return func() {}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		fds := []unix.PollFd{{Fd: keyboard, Events: unix.POLLIN}, {Fd: int32(r.Fd()), Events: unix.POLLIN}}
		buf := make([]byte, 4096)
		for {
			if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
				return
			}
			if fds[1].Revents != 0 {
				return
			}
			if fds[0].Revents == 0 {
				continue
			}
			n, err := unix.Read(keyboard, buf)
			if err == unix.EINTR || err == unix.EAGAIN {
				continue
			}
			if n <= 0 {
				return
			}
			if _, err := master.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		w.Close()
		master.SetWriteDeadline(time.Unix(1, 0)) // a program that does not read
		<-ended
		r.Close()
	})
}

func resize(master *os.File) {
	if size := window(); size != (core.TerminalSize{}) {
		size.SetFile(master) // a hung-up one needs none
	}
}

// drain shows what the program has left on its terminal. What others that it has
// started write later is not waited for.
func drain(master *os.File) {
	conn, err := master.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 4096)
	for {
		n := 0
		conn.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buf) })
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 {
			return
		}
		if _, err := os.Stdout.Write(buf[:n]); err != nil {
			return
		}
	}
}
