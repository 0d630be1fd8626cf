package logs

import (
	"bytes"
	"errors"
	"os"
)

// tail finds where the last lines of a log begin: lines of what is wanted, in the
// order in which it was said.
type tail struct {
	r       *Reader
	need    int64 // newlines yet to be found; the last line's own is one of them
	decided bool  // the last line has been seen
}

// mark is an entry that ends lines.
type mark struct {
	offset   int64
	newlines int64
}

// seekLines goes to where the last lines begin, or behind all that is there.
func (r *Reader) seekLines() error {
	r.expect, r.known = readState(r.state), r.o.Lines < 0
	list, err := numbers(r.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it is being removed
	}
	if err != nil {
		return err
	}
	t := tail{r: r, need: min(r.o.Lines, 1<<40) + 1}
	for i := len(list) - 1; i >= 0; i-- {
		file, err := r.openFile(list[i])
		if err != nil {
			return err
		}
		if file == nil {
			continue // rotated away meanwhile, or not begun
		}
		if r.scan.file != nil {
			r.scan.file.Close()
		}
		found := t.look(file)
		r.scan = *file
		if found {
			return nil
		}
		r.scan.offset = fileHeaderSize
	}
	return nil
}

// look reads a file and reports whether the lines begin in it: then it is there.
func (t *tail) look(file *scanner) bool {
	var marks []mark
	total, open, any := int64(0), false, false
	drop := func() { // marks that are not needed
		for len(marks) > 0 && total-marks[0].newlines >= t.need {
			total -= marks[0].newlines
			marks = marks[1:]
		}
	}
	for {
		offset := file.offset
		e, ok := file.next()
		if !ok {
			break
		}
		if t.r.o.Lines < 0 {
			t.r.expect = e.Position + e.covers()
			continue
		}
		if e.Source == Gap || len(e.Content) == 0 || !t.r.o.wants(&e) {
			continue
		}
		any, open = true, e.Content[len(e.Content)-1] != '\n'
		if n := int64(bytes.Count(e.Content, []byte{'\n'})); n > 0 {
			marks, total = append(marks, mark{offset, n}), total+n
			drop()
		}
	}
	if t.r.o.Lines < 0 {
		return true
	}
	if any && !t.decided {
		t.decided = true
		if open {
			t.need--
			drop()
		}
	}
	if total < t.need {
		t.need -= total
		return false
	}
	t.into(file, marks[0], total-t.need+1)
	return true
}

// into goes behind a newline of an entry, the n-th.
func (t *tail) into(file *scanner, at mark, n int64) {
	file.offset = at.offset
	e, _ := file.next()
	for ; n > 0; n-- {
		t.r.cut += bytes.IndexByte(e.Content[t.r.cut:], '\n') + 1
	}
	file.offset = at.offset
}
