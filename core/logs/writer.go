package logs

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/dir"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

const (
	// DefaultFileBytes bounds each file of a log.
	DefaultFileBytes = 10 << 20
	// MinFileBytes leaves room for the largest entry.
	MinFileBytes = 64 << 10
	// MaxFileBytes is the most that a file may have.
	MaxFileBytes = 1 << 40
	// Rotated is how many full files are kept beside the one that is written.
	Rotated = 3
)

// Writer writes a log. Its methods never fail and may be called from any
// goroutine: what cannot be written is counted, and a gap says so when there is
// room again. A nil Writer drops everything.
type Writer struct {
	mu       sync.Mutex
	dir      *os.File
	state    *os.File
	file     *os.File // nil: none could be made yet
	number   uint64   // of the file, or of the last one
	size     int64    // of the file
	most     int64
	position uint64
	lost     uint64 // bytes of content that could not be written
	reason   string // why
	buf      []byte
	closed   bool
}

// Create opens the log "file" in a directory for writing, and makes it when missing.
// What a writer that died left half-written at the end goes. fileBytes bounds each
// file; name is the sandbox's.
func Create(in dir.Ref, file, name string, fileBytes int64) (*Writer, error) {
	w, err := create(in, file, name, fileBytes)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("log of sandbox %q", name))
	}
	return w, nil
}

func create(in dir.Ref, file, name string, fileBytes int64) (*Writer, error) {
	if err := makeDir(in, file); err != nil {
		return nil, err
	}
	d, err := openDir(in, file)
	if err != nil {
		return nil, err
	}
	w := &Writer{dir: d, most: fileBytes}
	w.state, err = openIn(d, stateName, os.O_RDWR|os.O_CREATE)
	if err == nil {
		err = lockState(w.state)
	}
	if err == nil {
		err = w.resume()
	}
	if err == nil {
		err = writeState(w.state, w.position)
	}
	if err == nil {
		_, err = w.state.WriteAt([]byte(name), nameOffset)
	}
	if err == nil && w.file == nil {
		err = w.rotate()
	}
	if err != nil {
		w.release()
		return nil, err
	}
	return w, nil
}

// resume goes on where the last writer of the log ended.
func (w *Writer) resume() error {
	w.position = readState(w.state)
	list, err := numbers(w.dir)
	if err != nil {
		return err
	}
	for ; len(list) > Rotated+1; list = list[1:] {
		w.unlink(list[0])
	}
	for ; len(list) > 0 && w.file == nil; list = list[:len(list)-1] {
		w.number = list[len(list)-1]
		if err := w.reopen(); err != nil {
			return err
		}
	}
	return nil
}

// reopen makes the last file ours, without half a frame at its end. One whose
// header was never written is removed.
func (w *Writer) reopen() error {
	file, err := openIn(w.dir, fileName(w.number), os.O_RDWR)
	if err != nil {
		return err
	}
	scan := scanner{file: file, number: w.number, offset: fileHeaderSize}
	if !scan.begin() {
		defer file.Close()
		if st, err := file.Stat(); err != nil || st.Size() >= fileHeaderSize {
			return fault.New(fault.Unsupported, fault.StageState, "%s is of another version: remove the sandbox", file.Name())
		}
		w.unlink(w.number)
		return nil
	}
	for e, ok := scan.next(); ok; e, ok = scan.next() {
		w.position = e.Position + e.covers()
	}
	if err := file.Truncate(scan.offset); err != nil {
		file.Close()
		return os.NewSyscallError("truncate", err)
	}
	w.file, w.size = file, scan.offset
	return nil
}

func (w *Writer) unlink(number uint64) {
	unlinkIn(w.dir, fileName(number))
}

// Write appends what a program said. Content is cut into entries of MaxContent.
func (w *Writer) Write(source Source, program uint64, content []byte) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(content) > 0 && !w.closed {
		n := min(len(content), MaxContent)
		w.add(Entry{Source: source, Program: program, Content: content[:n]})
		content = content[n:]
	}
}

// Printf appends one line of the supervisor.
func (w *Writer) Printf(format string, args ...any) {
	line := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	w.Write(Supervisor, 0, []byte(line[:min(len(line), MaxContent-1)]+"\n"))
}

// add writes one entry, and before it the gap of those that could not be written.
// Called with mu held.
func (w *Writer) add(e Entry) {
	e.Time = time.Now()
	w.buf = w.appendGap(w.buf[:0], e.Time)
	e.Position = w.position + w.lost
	w.buf = e.AppendFrame(w.buf)
	if err := w.put(); err != nil {
		w.lost += e.covers()
		w.reason = reason(err)
		return
	}
	w.position, w.lost = e.Position+e.covers(), 0
}

func (w *Writer) appendGap(buf []byte, at time.Time) []byte {
	if w.lost == 0 {
		return buf
	}
	gap := Entry{Source: Gap, Time: at, Position: w.position, Missed: w.lost, Content: []byte(w.reason)}
	return gap.AppendFrame(buf)
}

func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return "the log could not be written: " + errno.Error()
	}
	return "the log could not be written"
}

// put writes the buffer to the file, whole or not at all.
func (w *Writer) put() error {
	if w.file == nil || w.size+int64(len(w.buf)) > w.most {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	_, err := w.file.WriteAt(w.buf, w.size)
	if err == nil {
		w.size += int64(len(w.buf))
		return nil
	}
	if w.file.Truncate(w.size) != nil {
		w.file.Close()
		w.file = nil // nothing may follow half a frame: the next entry begins a file
	}
	return err
}

// rotate begins a new file and lets the oldest go, in the order that never has more
// than the bound.
func (w *Writer) rotate() error {
	next := w.number + 1
	if next > Rotated+1 {
		w.unlink(next - Rotated - 1)
	}
	file, err := openIn(w.dir, fileName(next), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err := file.WriteAt(fileHeader(next), 0); err != nil {
		file.Close()
		w.unlink(next)
		return err
	}
	if w.file != nil {
		w.file.Close()
	}
	w.file, w.number, w.size = file, next, fileHeaderSize
	writeState(w.state, w.position+w.lost)
	return nil
}

// Close ends the log: those who follow it come to its end.
func (w *Writer) Close() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	if w.buf = w.appendGap(w.buf[:0], time.Now()); len(w.buf) > 0 && w.put() == nil {
		w.position, w.lost = w.position+w.lost, 0
	}
	writeState(w.state, w.position+w.lost)
	w.release()
}

func (w *Writer) release() {
	if w.file != nil {
		w.file.Close()
	}
	if w.state != nil {
		unlockState(w.state)
		w.state.Close()
	}
	w.dir.Close()
}
