package kernel

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// Archive is a cpio archive in the format newc, as the kernel unpacks it into its
// first root file system. Archives may be put one after the other.
type Archive struct {
	buf   bytes.Buffer
	inode int
}

// Dir adds a directory; its parents come before it.
func (a *Archive) Dir(name string) { a.entry(name, unix.S_IFDIR|0o755, 0, nil) }

// File adds a regular file.
func (a *Archive) File(name string, mode uint32, data []byte) {
	a.entry(name, unix.S_IFREG|mode&0o7777, 0, data)
}

// CharDevice adds a character device.
func (a *Archive) CharDevice(name string, major, minor uint32) {
	a.entry(name, unix.S_IFCHR|0o600, uint64(major)<<32|uint64(minor), nil)
}

// Bytes ends the archive.
func (a *Archive) Bytes() []byte {
	a.entry("TRAILER!!!", 0, 0, nil)
	return a.buf.Bytes()
}

// entry writes a header, the name and the data, each padded to four bytes. Owner is
// root, the time is the epoch: equal input makes equal archives.
func (a *Archive) entry(name string, mode uint32, dev uint64, data []byte) {
	a.inode++
	fmt.Fprintf(&a.buf, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, dev>>32, uint32(dev), len(name)+1, 0)
	a.buf.WriteString(name)
	a.buf.WriteByte(0)
	a.pad()
	a.buf.Write(data)
	a.pad()
}

func (a *Archive) pad() {
	for a.buf.Len()%4 != 0 {
		a.buf.WriteByte(0)
	}
}
