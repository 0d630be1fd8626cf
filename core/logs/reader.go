package logs

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/dir"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Options say what of a log to read. The zero value is all that there is now.
type Options struct {
	Lines   int64     // only the last lines; 0: all, negative: none that is there already
	Since   time.Time // only what was said then or later
	Sources []Source  // only of these; none: of all
	Program uint64    // only of this program; 0: of all and the supervisor
	Follow  bool      // go on until the log's writer ends
}

// wants reports whether an entry is asked for. Gaps always are.
func (o *Options) wants(e *Entry) bool {
	if e.Source == Gap {
		return true
	}
	if !o.Since.IsZero() && e.Time.Before(o.Since) || o.Program != 0 && e.Program != o.Program {
		return false
	}
	for _, s := range o.Sources {
		if s == e.Source {
			return true
		}
	}
	return len(o.Sources) == 0
}

// Reader reads a log, while somebody writes it, too. One goroutine may use it.
type Reader struct {
	o      Options
	dir    *os.File
	state  *os.File
	watch  *watch // of a follower
	scan   scanner
	expect uint64 // the position of the next entry
	known  bool   // expect is
	cut    int    // content bytes of the next entry that are not asked for
	held   *Entry // behind a gap
	over   bool   // nobody writes any more
}

// Open opens the log "name" in a directory. NotFound when there is none.
func Open(in dir.Ref, name string, o Options) (*Reader, error) {
	r := &Reader{o: o}
	err := r.open(in, name)
	if err != nil {
		r.Close()
		return nil, fault.Wrap(err, fault.IO, fault.StageState, "read log")
	}
	return r, nil
}

func (r *Reader) open(in dir.Ref, name string) (err error) {
	if r.dir, err = openDir(in, name); err != nil {
		return err
	}
	if r.state, err = openIn(r.dir, stateName, os.O_RDONLY); err != nil {
		return err
	}
	if r.o.Follow {
		r.watch = newWatch(r.dir) // before the first look: nothing falls between
	}
	if r.o.Lines != 0 {
		return r.seekLines()
	}
	r.known = r.o.Since.IsZero() // then what is rotated away is told, too
	return nil
}

// Close releases the reader.
func (r *Reader) Close() {
	for _, f := range []*os.File{r.dir, r.state, r.scan.file} {
		if f != nil {
			f.Close()
		}
	}
	r.watch.close()
}

// All is the log as a sequence. It ends after an error.
func (r *Reader) All(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for {
			e, err := r.Next(ctx)
			if err == io.EOF || !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Next returns the next entry; its content is valid until the next call. io.EOF at
// the end: of a follower that of the log's writer.
func (r *Reader) Next(ctx context.Context) (Entry, error) {
	for {
		e, ok, err := r.take()
		if ok || err != nil {
			return e, err
		}
		if !r.o.Follow {
			return Entry{}, io.EOF
		}
		if r.over {
			if end := readState(r.state); r.known && end > r.expect {
				return r.gap(end, "the log was removed before they were read"), nil
			}
			return Entry{}, io.EOF
		}
		// Once nobody writes, one more look finds the last words.
		if r.over = !written(r.state); !r.over {
			if err := r.watch.wait(ctx); err != nil {
				return Entry{}, err
			}
		}
	}
}

// take returns the next entry that is there and wanted.
func (r *Reader) take() (Entry, bool, error) {
	if e := r.held; e != nil {
		r.held = nil
		return *e, true, nil
	}
	for {
		e, ok, err := r.frame()
		if !ok || err != nil {
			return Entry{}, false, err
		}
		cut := min(r.cut, len(e.Content))
		r.cut = 0
		missed := r.known && e.Position > r.expect
		var gap Entry
		if missed {
			gap = r.gap(e.Position, "they were rotated away before they were read")
			gap.Time = e.Time
		}
		r.expect, r.known = e.Position+e.covers(), true
		wanted := r.o.wants(&e) && (cut == 0 || cut < len(e.Content))
		if cut > 0 {
			e.Position, e.Content = e.Position+uint64(cut), e.Content[cut:]
		}
		if missed {
			if wanted {
				r.held = &e
			}
			return gap, true, nil
		}
		if wanted {
			return e, true, nil
		}
	}
}

// gap is the entry for what is missing up to a position.
func (r *Reader) gap(end uint64, why string) Entry {
	gap := Entry{Source: Gap, Time: time.Now(), Position: r.expect, Missed: end - r.expect, Content: []byte(why)}
	r.expect = end
	return gap
}

// frame returns the next frame of this file or a later one.
func (r *Reader) frame() (Entry, bool, error) {
	for {
		if r.scan.file != nil {
			if e, ok := r.scan.next(); ok {
				return e, true, nil
			}
		}
		next, err := r.successor()
		if next == nil || err != nil {
			return Entry{}, false, err
		}
		// The writer has left the old file: what is there now is all of it. A torn
		// end of a writer that died is skipped here.
		if r.scan.file != nil {
			if e, ok := r.scan.next(); ok {
				next.file.Close()
				return e, true, nil
			}
			r.scan.file.Close()
		}
		next.buf = r.scan.buf[:0]
		r.scan = *next
	}
}

// successor opens the file after the present one; nil when there is none yet.
func (r *Reader) successor() (*scanner, error) {
	if r.scan.file != nil {
		if next, err := r.openFile(r.scan.number + 1); next != nil || err != nil {
			return next, err
		}
		if gone, err := deleted(r.scan.file); err != nil || !gone {
			return nil, err
		}
	}
	list, err := numbers(r.dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil // the log has been removed
		}
		return nil, fault.Wrap(err, fault.IO, fault.StageState, "read log")
	}
	for _, number := range list {
		if number > r.scan.number {
			if next, err := r.openFile(number); next != nil || err != nil {
				return next, err
			}
		}
	}
	return nil, nil
}

// openFile opens a file; nil when it is gone, or its writer has yet to begin.
func (r *Reader) openFile(number uint64) (*scanner, error) {
	file, err := openIn(r.dir, fileName(number), os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageState, "read log")
	}
	next := &scanner{file: file, number: number, offset: fileHeaderSize}
	st, err := file.Stat() // before: the writer may begin between two looks
	if next.begin() {
		return next, nil
	}
	file.Close()
	if err == nil && st.Size() >= fileHeaderSize {
		return nil, fault.New(fault.Unsupported, fault.StageState, "read log: %s is of another version", file.Name())
	}
	return nil, nil
}
