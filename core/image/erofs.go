//go:build linux

package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

	erofsChecksum        = 4  // u32, CRC-32C of the block from here to its end
	erofsFeatureCompat   = 8  // u32
	erofsBlockBits       = 12 // u8, log2 of the block size
	erofsBlocks          = 36 // u32
	erofsFeatureIncompat = 80 // u32

	// The engines' reader has pages and blocks of 4 KiB.
	erofsPageBits = 12
	// The only compatible feature that matters here.
	erofsHasChecksum = 1
	// Compression: LZ4 padding, configurations, big clusters, several heads,
	// packed tails, fragments. The reader knows none, and none of the others.
	erofsCompressed = 0x1 | 0x2 | 0x8 | 0x10 | 0x20
)

// CheckEROFS checks that the image f is one, is whole, and is written in a way
// that the engines can read.
func CheckEROFS(f *os.File, path string) error {
	st, err := f.Stat()
	if err != nil {
		return cannot(path, err)
	}
	if st.IsDir() {
		e := refuse(fault.Invalid, path, "a directory, not an EROFS image; it needs the root kind dir")
		e.Errno = unix.EISDIR
		return e
	}
	if !st.Mode().IsRegular() {
		return refuse(fault.Invalid, path, "not a regular file")
	}
	block := make([]byte, 1<<erofsPageBits-erofsSuperblock)
	if _, err := f.ReadAt(block, erofsSuperblock); errors.Is(err, io.EOF) {
		return refuse(fault.Invalid, path, "too short for an EROFS image (%d bytes)", st.Size())
	} else if err != nil {
		return cannot(path, err)
	}
	if err := checkSuperblock(block, st.Size(), path); err != nil {
		return err
	}
	inline, err := newErofsReader(f, block, st.Size()).hasInlineFile()
	if err != nil {
		return refuse(fault.Invalid, path, "damaged EROFS image: its directories cannot be read")
	}
	if inline {
		return refuse(fault.Unsupported, path, "EROFS image with inline file data; make it with mkfs.erofs -E noinline_data")
	}
	return nil
}

func refuse(code fault.Code, path, format string, args ...any) *fault.Error {
	return fault.New(code, fault.StageRoot, "root %q: %s", path, fmt.Sprintf(format, args...))
}

// checkSuperblock checks the first block of an image from the superblock on.
func checkSuperblock(block []byte, size int64, path string) error {
	number := func(at int) uint32 { return binary.LittleEndian.Uint32(block[at:]) }
	if number(0) != erofsMagic {
		return refuse(fault.Invalid, path, "not an EROFS image")
	}
	if block[erofsBlockBits] != erofsPageBits {
		return refuse(fault.Unsupported, path, "EROFS image with blocks of 2^%d bytes; make it with mkfs.erofs -b 4096",
			block[erofsBlockBits])
	}
	if want := int64(number(erofsBlocks)) << erofsPageBits; size < want {
		return refuse(fault.Invalid, path, "truncated EROFS image: %d bytes, its superblock says %d", size, want)
	}
	if number(erofsFeatureCompat)&erofsHasChecksum != 0 && number(erofsChecksum) != checksum(block) {
		return refuse(fault.Invalid, path, "damaged EROFS image: the superblock's checksum is wrong")
	}
	features := number(erofsFeatureIncompat)
	if features&erofsCompressed != 0 {
		return refuse(fault.Unsupported, path,
			"compressed EROFS image; make it with mkfs.erofs -E noinline_data and without -z")
	}
	if features != 0 {
		return refuse(fault.Unsupported, path,
			"EROFS image with features %#x; make it with mkfs.erofs -E noinline_data and no other", features)
	}
	return nil
}

// checksum is the superblock's: over its block, with the checksum itself zero,
// and without the final inversion.
func checksum(block []byte) uint32 {
	clean := append([]byte(nil), block...)
	clear(clean[erofsChecksum : erofsChecksum+4])
	return ^crc32.Checksum(clean, crc32.MakeTable(crc32.Castagnoli))
}

// EmptyTmp tells whether the root's /tmp is empty or missing. It is false when
// that cannot be told.
func EmptyTmp(kind Kind, root *os.File) bool {
	if kind == EROFS {
		block := make([]byte, 1<<erofsPageBits-erofsSuperblock)
		st, err := root.Stat()
		if err != nil {
			return false
		}
		if _, err := root.ReadAt(block, erofsSuperblock); err != nil {
			return false
		}
		empty, err := newErofsReader(root, block, st.Size()).emptyOrMissing("tmp")
		return err == nil && empty
	}
	fd, err := unix.Openat(int(root.Fd()), "tmp", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err == unix.ENOENT
	}
	dir := os.NewFile(uintptr(fd), "tmp")
	defer dir.Close()
	_, err = dir.Readdirnames(1)
	return err == io.EOF
}
