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

// host is the C program that uses the library and starts the peer: see
// programs/host.c for its commands.
type host struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startHost(ctx context.Context, s settings, stateDir string) (*host, error) {
	cmd := exec.CommandContext(ctx, s.product("bench", "host"), stateDir, s.product("bin", "msb"))
	cmd.Stderr = os.Stderr
	// A group of its own, so that its children can be ended with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
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

// stop ends the host program; whatever sandbox it still has ends with it. Its
// group is killed while it is not yet reaped, so the number is still its own.
func (h *host) stop() {
	timer := time.AfterFunc(answerLimit, func() { h.cmd.Cancel() })
	defer timer.Stop()
	h.in.Close()
	io.Copy(io.Discard, h.out)
	h.cmd.Cancel()
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
