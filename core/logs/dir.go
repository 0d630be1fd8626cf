package logs

import (
	"encoding/binary"
	"io"
	"os"
	"slices"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/dir"
)

// numbers lists the files of a log, the oldest first.
func numbers(dir *os.File) ([]uint64, error) {
	files, err := names(dir)
	var list []uint64
	for _, name := range files {
		if n := fileNumber(name); n > 0 {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, err
}

// The state file: u64 little-endian, the position up to which content is known to
// exist, then the name of the log. Whoever writes the log holds a lock on it.
const nameOffset = 8

func writeState(state *os.File, position uint64) error {
	_, err := state.WriteAt(binary.LittleEndian.AppendUint64(nil, position), 0)
	return err
}

func readState(state *os.File) uint64 {
	var buf [8]byte
	if _, err := state.ReadAt(buf[:], 0); err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(buf[:])
}

// lockWait bounds the wait for the lock of a writer that the kernel is ending.
const (
	lockWait = 2 * time.Second
	lockPoll = 5 * time.Millisecond
)

// Name tells which sandbox a log is of.
func Name(in dir.Ref, name string) string {
	d, err := openDir(in, name)
	if err != nil {
		return ""
	}
	defer d.Close()
	state, err := openIn(d, stateName, os.O_RDONLY)
	if err != nil {
		return ""
	}
	defer state.Close()
	text, _ := io.ReadAll(io.NewSectionReader(state, nameOffset, 1024))
	return string(text)
}

// Remove deletes a log. None is no error.
func Remove(in dir.Ref, name string) error {
	d, err := openDir(in, name)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	files, err := names(d)
	for _, file := range files {
		if uerr := unlinkIn(d, file); uerr != nil && err == nil {
			err = &os.PathError{Op: "remove", Path: file, Err: uerr}
		}
	}
	d.Close()
	if err == nil {
		err = removeDir(in, name)
	}
	return err
}
