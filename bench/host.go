package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// answerLimit bounds one command of the host program.
const answerLimit = 2 * time.Minute

// host is a C program that executes commands: programs/host.c uses the library
// and starts the peer, programs/killer.c kills them.
type host struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startHost(ctx context.Context, s settings, stateDir string) (*host, error) {
	return start(ctx, s, s.product("bench", "host"), stateDir, s.product("bin", "msb"))
}

func startKiller(ctx context.Context, s settings) (*host, error) {
	return start(ctx, s, s.product("bench", "killer"))
}

// keep is a command that ends when everything that it started has ended, and is
// stopped with all of it (programs/keep.c).
func keep(ctx context.Context, s settings, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.product("bench", "keep"), argv...)
	cmd.Stderr = os.Stderr
	// Out of reach of the terminal's Ctrl-C: we stop it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd
}

func start(ctx context.Context, s settings, argv ...string) (*host, error) {
	cmd := keep(ctx, s, argv...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &host{cmd: cmd, in: in, out: bufio.NewReader(out)}, nil
}

// stop ends the program and waits until nothing that it started is left.
func (h *host) stop() {
	timer := time.AfterFunc(answerLimit, func() { h.cmd.Cancel() })
	defer timer.Stop()
	h.in.Close()
	io.Copy(io.Discard, h.out)
	h.cmd.Wait()
}

// ask sends a command and returns the numbers of the answer.
func (h *host) ask(words ...string) ([]float64, error) {
	timer := time.AfterFunc(answerLimit, func() { h.cmd.Cancel() })
	defer timer.Stop()
	if _, err := io.WriteString(h.in, strings.Join(words, "\t")+"\n"); err != nil {
		return nil, fmt.Errorf("host program: %s: %w", words[0], err)
	}
	line, err := h.out.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("host program: %s: %w: it ended or took longer than %v", words[0], err, answerLimit)
	}
	fields := strings.Fields(line)
	if len(fields) == 0 || fields[0] != "ok" {
		return nil, errors.New("host program: " + strings.Join(words, " ") + ": " + strings.TrimSpace(line))
	}
	numbers := make([]float64, len(fields)-1)
	for i, field := range fields[1:] {
		if numbers[i], err = strconv.ParseFloat(field, 64); err != nil {
			return nil, fmt.Errorf("host program: answer %q: %w", strings.TrimSpace(line), err)
		}
	}
	return numbers, nil
}
