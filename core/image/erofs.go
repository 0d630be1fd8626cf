package image

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// The superblock lies at byte 1024; the numbers are little-endian. Offsets are
// those of struct erofs_super_block in Linux's fs/erofs/erofs_fs.h.
const (
	erofsSuperblock = 1024
	erofsMagic      = 0xE0F5E1E2

	erofsBlockBits       = 12 // u8, log2 of the block size
	erofsBlocks          = 36 // u32
	erofsFeatureIncompat = 80 // u32

	// The engines' reader has 4 KiB pages and blocks.
	erofsPageBits = 12
	// Chunk-based files are the only incompatible feature that it knows.
	erofsIncompatChunked = 0x4
	erofsIncompatBig     = 0x2B // compression: LZ4 padding, configurations, big clusters, compressed heads
)

// CheckEROFS checks what can be told from the superblock of the image f: that
// it is one, is whole, and is written in a way that the engines can read.
func CheckEROFS(f *os.File, path string) error {
	st, err := f.Stat()
	if err != nil {
		return cannot(path, err)
	}
	if st.IsDir() {
		e := fault.New(fault.Invalid, fault.StageRoot, "root %q: a directory, not an EROFS image; it needs the root kind dir", path)
		e.Errno = unix.EISDIR
		return e
	}
	if !st.Mode().IsRegular() {
		return fault.New(fault.Invalid, fault.StageRoot, "root %q: not a regular file", path)
	}
	var sb [128]byte
	if _, err := f.ReadAt(sb[:], erofsSuperblock); err != nil {
		if errors.Is(err, io.EOF) {
			return fault.New(fault.Invalid, fault.StageRoot, "root %q: too short for an EROFS image (%d bytes)", path, st.Size())
		}
		return cannot(path, err)
	}
	return checkSuperblock(sb[:], st.Size(), path)
}

func checkSuperblock(sb []byte, size int64, path string) error {
	if binary.LittleEndian.Uint32(sb) != erofsMagic {
		return fault.New(fault.Invalid, fault.StageRoot, "root %q: not an EROFS image", path)
	}
	if sb[erofsBlockBits] != erofsPageBits {
		return fault.New(fault.Unsupported, fault.StageRoot,
			"root %q: EROFS with blocks of 2^%d bytes; make it with mkfs.erofs -b 4096", path, sb[erofsBlockBits])
	}
	if want := int64(binary.LittleEndian.Uint32(sb[erofsBlocks:])) << erofsPageBits; size < want {
		return fault.New(fault.Invalid, fault.StageRoot,
			"root %q: truncated EROFS image: %d bytes, the superblock says %d", path, size, want)
	}
	features := binary.LittleEndian.Uint32(sb[erofsFeatureIncompat:])
	if features&erofsIncompatBig != 0 {
		return fault.New(fault.Unsupported, fault.StageRoot,
			"root %q: compressed EROFS image; make it with mkfs.erofs without -z", path)
	}
	if unknown := features &^ erofsIncompatChunked; unknown != 0 {
		return fault.New(fault.Unsupported, fault.StageRoot,
			"root %q: EROFS features %#x are not supported; make it with mkfs.erofs -E noinline_data", path, unknown)
	}
	return nil
}
