//go:build linux

package image

import (
	"bytes"
	"encoding/binary"
	"io"
	"io/fs"
)

// erofsReader reads the inodes and directories of an EROFS image without
// compression. All that it reads is untrusted: every size is bounded.
type erofsReader struct {
	r    io.ReaderAt
	meta int64 // where inode 0 lies
	root uint64
	size int64
}

const (
	erofsBlock  = 1 << erofsPageBits
	erofsDirMax = 1 << 20 // bytes of a directory that are looked at

	erofsPlain  = 0 // layouts
	erofsInline = 2

	erofsFile = 1 // types in directory entries
	erofsDir  = 2
)

type erofsInode struct {
	mode   uint16
	layout uint16
	size   int64
	block  int64 // first block of the data
	tail   int64 // where inline data lies
}

type erofsEntry struct {
	name string
	nid  uint64
	kind byte
}

func newErofsReader(r io.ReaderAt, sb []byte, size int64) *erofsReader {
	return &erofsReader{
		r: r, size: size,
		meta: int64(binary.LittleEndian.Uint32(sb[40:])) << erofsPageBits,
		root: uint64(binary.LittleEndian.Uint16(sb[14:])),
	}
}

func (e *erofsReader) inode(nid uint64) (erofsInode, error) {
	const slot = 32
	if nid > uint64(e.size)/slot {
		return erofsInode{}, fs.ErrInvalid
	}
	at := e.meta + int64(nid)*slot
	var b [slot]byte
	if _, err := e.r.ReadAt(b[:], at); err != nil {
		return erofsInode{}, err
	}
	format := binary.LittleEndian.Uint16(b[0:])
	i := erofsInode{
		mode:   binary.LittleEndian.Uint16(b[4:]),
		layout: format >> 1 & 7,
		size:   int64(binary.LittleEndian.Uint32(b[8:])),
		block:  int64(binary.LittleEndian.Uint32(b[16:])),
		tail:   at + slot,
	}
	if format&1 != 0 {
		i.size = int64(binary.LittleEndian.Uint64(b[8:]))
		i.tail += slot
	}
	if n := int64(binary.LittleEndian.Uint16(b[2:])); n > 0 {
		i.tail += 12 + (n-1)*4 // extended attributes
	}
	if i.size < 0 {
		return i, fs.ErrInvalid
	}
	return i, nil
}

// dir lists a directory, without . and .. ones.
func (e *erofsReader) dir(i erofsInode) ([]erofsEntry, error) {
	var list []erofsEntry
	size := min(i.size, erofsDirMax)
	for off := int64(0); off < size; off += erofsBlock {
		n := min(size-off, erofsBlock)
		at := i.block<<erofsPageBits + off
		if i.layout == erofsInline && n < erofsBlock {
			at = i.tail
		}
		block := make([]byte, n)
		if _, err := e.r.ReadAt(block, at); err != nil {
			return nil, err
		}
		entries, err := parseErofsDir(block)
		if err != nil {
			return nil, err
		}
		list = append(list, entries...)
	}
	return list, nil
}

func parseErofsDir(block []byte) ([]erofsEntry, error) {
	const size = 12
	if len(block) < size {
		return nil, fs.ErrInvalid
	}
	count := int(binary.LittleEndian.Uint16(block[8:])) / size
	if count == 0 || count*size > len(block) {
		return nil, fs.ErrInvalid
	}
	var list []erofsEntry
	for i := range count {
		d := block[i*size:]
		begin, end := int(binary.LittleEndian.Uint16(d[8:])), len(block)
		if i+1 < count {
			end = int(binary.LittleEndian.Uint16(d[size+8:]))
		}
		if begin > end || end > len(block) {
			return nil, fs.ErrInvalid
		}
		name, _, _ := bytes.Cut(block[begin:end], []byte{0})
		if s := string(name); s != "." && s != ".." {
			list = append(list, erofsEntry{s, binary.LittleEndian.Uint64(d), d[10]})
		}
	}
	return list, nil
}

// hasInlineFile tells whether regular files have their tails among the inodes,
// which gVisor cannot map into memory. mkfs.erofs does that by default with
// nearly every small file, so a few files tell.
func (e *erofsReader) hasInlineFile() (bool, error) {
	const enoughFiles, enoughDirs = 64, 256
	dirs := []uint64{e.root}
	files := 0
	for n := 0; n < len(dirs) && n < enoughDirs && files < enoughFiles; n++ {
		d, err := e.inode(dirs[n])
		if err != nil {
			return false, err
		}
		entries, err := e.dir(d)
		if err != nil {
			return false, err
		}
		for _, x := range entries {
			if x.kind == erofsDir {
				dirs = append(dirs, x.nid)
			}
			if x.kind != erofsFile || files >= enoughFiles {
				continue
			}
			f, err := e.inode(x.nid)
			if err != nil {
				return false, err
			}
			if f.size > 0 {
				files++
			}
			if f.size > 0 && f.layout == erofsInline {
				return true, nil
			}
		}
	}
	return false, nil
}

// emptyOrMissing tells whether a directory of the root is empty or not there.
func (e *erofsReader) emptyOrMissing(name string) (bool, error) {
	root, err := e.inode(e.root)
	if err != nil {
		return false, err
	}
	entries, err := e.dir(root)
	if err != nil {
		return false, err
	}
	for _, x := range entries {
		if x.name != name {
			continue
		}
		if x.kind != erofsDir {
			return false, nil
		}
		d, err := e.inode(x.nid)
		if err != nil {
			return false, err
		}
		below, err := e.dir(d)
		return len(below) == 0, err
	}
	return true, nil
}
