package main

import (
	"encoding/binary"
	"os"
	"strconv"
	"time"

	"github.com/libmicrosandbox/microsandbox/core"
)

// patternFactor makes word i of a stream i times it: programs/pattern.h.
const patternFactor = 0x9E3779B97F4A7C15

// checker is a writer that compares what comes with the pattern.
type checker struct {
	bytes int64
	part  []byte // of a word that has not come in whole
	wrong bool
}

func (c *checker) Write(p []byte) (int, error) {
	n := len(p)
	if len(c.part) > 0 {
		k := min(8-len(c.part), len(p))
		c.part, p = append(c.part, p[:k]...), p[k:]
		if len(c.part) == 8 {
			c.words(c.part)
			c.part = c.part[:0]
		}
	}
	whole := len(p) &^ 7
	c.words(p[:whole])
	c.part = append(c.part, p[whole:]...)
	return n, nil
}

// words takes a multiple of 8 bytes.
func (c *checker) words(p []byte) {
	next := uint64(c.bytes/8) * patternFactor
	for ; len(p) > 0; p = p[8:] {
		c.wrong = c.wrong || binary.LittleEndian.Uint64(p) != next
		next += patternFactor
		c.bytes += 8
	}
}

// vmOut is the speed of a stream out of a program, in MB/s.
func (m *measurement) vmOut(sb *core.Sandbox) (float64, error) {
	var seen checker
	begin := time.Now()
	if err := vmRun(sb, &seen, "/bin/guest", "send", strconv.FormatInt(m.streamBytes, 10)); err != nil {
		return 0, err
	}
	speed := float64(seen.bytes) / 1e6 / time.Since(begin).Seconds()
	if seen.wrong || seen.bytes != m.streamBytes {
		m.fails("vm: %d of %d bytes came through stdout, wrong ones among them: %v", seen.bytes, m.streamBytes, seen.wrong)
	}
	return speed, nil
}

// vmIn is the speed of a stream into a program, which checks it, in MB/s.
func (m *measurement) vmIn(sb *core.Sandbox) (float64, error) {
	begin := time.Now()
	p, err := sb.Start(core.ProcessOptions{
		Argv:  []string{"/bin/guest", "receive", strconv.FormatInt(m.streamBytes, 10)},
		Stdio: [3]core.Stdio{{Kind: core.StdioPipe}, {}, {}},
	})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	fd, err := p.Stdio(0)
	if err != nil {
		return 0, err
	}
	w := os.NewFile(uintptr(fd), "stdin")
	defer w.Close()
	chunk, word := make([]byte, 64<<10), uint64(0)
	for left := m.streamBytes; left > 0; left -= int64(len(chunk)) {
		for at := 0; at < len(chunk); at += 8 {
			binary.LittleEndian.PutUint64(chunk[at:], word)
			word += patternFactor
		}
		if _, err := w.Write(chunk); err != nil {
			return 0, err
		}
	}
	w.Close()
	<-p.Done()
	if out := p.Outcome(); out.ExitCode != 0 {
		m.fails("vm: the program that reads a stream of %d bytes ended with %d", m.streamBytes, out.ExitCode)
	}
	return float64(m.streamBytes) / 1e6 / time.Since(begin).Seconds(), nil
}
