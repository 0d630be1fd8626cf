package store

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/logs"
)

// FD is the open directory; it stays the shelf's.
func (s *Shelf) FD() int { return int(s.dir.Fd()) }

// HasLog reports whether there is a log of this name.
func (s *Shelf) HasLog(name string) bool {
	return unix.Faccessat(s.FD(), LogName(name), unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// LooseLogs names the sandboxes of which there is a log but no record: a first boot
// that failed leaves it to be read.
func (s *Shelf) LooseLogs() []string {
	var names []string
	files, _ := s.files()
	for _, file := range files {
		base, ok := strings.CutSuffix(file, logSuffix)
		if !ok || !isKey(base) {
			continue
		}
		if unix.Faccessat(s.FD(), base+shelfSuffix, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == unix.ENOENT {
			names = append(names, logs.Name(s.FD(), file))
		}
	}
	return names
}
