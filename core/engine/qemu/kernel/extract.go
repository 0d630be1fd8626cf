package kernel

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/xi2/xz"
)

// Limits of what is unpacked, in bytes: a Debian vmlinux has 53 to 66 MB.
const (
	maxVmlinux = 512 << 20
	maxModule  = 64 << 20
)

// The setup header of a bzImage (Documentation/x86/boot.rst of Linux).
const (
	setupSectors  = 0x1f1
	headerMagic   = 0x202 // "HdrS"
	headerVersion = 0x206
	kernelVersion = 0x20e // offset of the version's text, less 0x200
	payloadOffset = 0x248 // from the protected-mode code
	payloadLength = 0x24c
	headerEnd     = 0x250
)

var errNoKernel = errors.New("it is neither a bzImage (vmlinuz) nor an uncompressed x86-64 vmlinux")

// extract returns the vmlinux in a kernel image, and its release.
func extract(image []byte) (vmlinux []byte, release string, err error) {
	if bytes.HasPrefix(image, []byte(elf.ELFMAG)) {
		release, err = elfRelease(image)
		return image, release, err
	}
	if len(image) < headerEnd || string(image[headerMagic:headerMagic+4]) != "HdrS" {
		return nil, "", errNoKernel
	}
	le := binary.LittleEndian
	if le.Uint16(image[headerVersion:]) < 0x208 {
		return nil, "", errors.New("its boot protocol is older than 2.08 (Linux 2.6.26)")
	}
	release = versionText(image, int(le.Uint16(image[kernelVersion:]))+0x200)
	sectors := int(image[setupSectors])
	if sectors == 0 {
		sectors = 4
	}
	start := uint64(sectors+1)*512 + uint64(le.Uint32(image[payloadOffset:]))
	length := uint64(le.Uint32(image[payloadLength:]))
	if start+length > uint64(len(image)) || length < 8 {
		return nil, "", errors.New("it is truncated")
	}
	payload := image[start : start+length]
	size := le.Uint32(payload[length-4:])
	if size > maxVmlinux {
		return nil, "", fmt.Errorf("a vmlinux of %d bytes, at most %d are allowed", size, maxVmlinux)
	}
	if vmlinux, err = decompress(payload[:length-4], int64(size)); err != nil {
		return nil, "", err
	}
	if _, err := elf.NewFile(bytes.NewReader(vmlinux)); err != nil {
		return nil, "", fmt.Errorf("its payload: %w", err)
	}
	return vmlinux, release, nil
}

// versionText is the first word of a NUL-terminated text.
func versionText(image []byte, at int) string {
	if at >= len(image) {
		return ""
	}
	text := image[at:min(at+256, len(image))]
	if i := bytes.IndexAny(text, " \x00"); i >= 0 {
		return string(text[:i])
	}
	return ""
}

// elfRelease finds the release in a vmlinux: it is in the kernel's banner.
func elfRelease(image []byte) (string, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil || f.Machine != elf.EM_X86_64 {
		return "", errNoKernel
	}
	banner := []byte("Linux version ")
	for at := 0; ; {
		i := bytes.Index(image[at:], banner)
		if i < 0 {
			return "", errors.New("it is an ELF file without a kernel's banner")
		}
		at += i + len(banner)
		if release := versionText(image, at); release != "" && release[0] >= '0' && release[0] <= '9' {
			return release, nil
		}
	}
}

// decompress unpacks what Linux's build packs with; size is the exact result's, or
// negative for at most maxModule bytes.
func decompress(data []byte, size int64) ([]byte, error) {
	r, err := reader(data)
	if err != nil {
		return nil, err
	}
	if size >= 0 {
		out := make([]byte, size)
		if _, err := io.ReadFull(r, out); err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		return out, nil
	}
	out, err := io.ReadAll(io.LimitReader(r, maxModule+1))
	if err == nil && len(out) > maxModule {
		err = fmt.Errorf("more than %d bytes", maxModule)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return out, nil
}

func reader(data []byte) (io.Reader, error) {
	src := bytes.NewReader(data)
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return gzip.NewReader(src)
	case bytes.HasPrefix(data, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return xz.NewReader(src, 128<<20)
	case bytes.HasPrefix(data, []byte{0x02, 0x21, 0x4c, 0x18}): // the legacy frame
		return lz4.NewReader(src), nil
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxVmlinux))
	case bytes.HasPrefix(data, []byte(elf.ELFMAG)):
		return src, nil
	}
	return nil, fmt.Errorf("packed in a way that is not known (first bytes %x); lz4, zstd, xz and gzip are", data[:min(6, len(data))])
}
