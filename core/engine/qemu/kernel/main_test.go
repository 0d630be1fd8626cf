package kernel

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
)

// elfFile is an ELF file with one section of content.
func elfFile(section, content string) []byte {
	le := binary.LittleEndian
	names := "\x00" + section + "\x00.shstrtab\x00"
	data := make([]byte, 64, 512)
	copy(data, "\x7fELF\x02\x01\x01")
	le.PutUint16(data[16:], 1)  // relocatable
	le.PutUint16(data[18:], 62) // x86-64
	le.PutUint32(data[20:], 1)
	le.PutUint64(data[40:], uint64(64+len(content)+len(names)))
	le.PutUint16(data[52:], 64)
	le.PutUint16(data[58:], 64)
	le.PutUint16(data[60:], 3)
	le.PutUint16(data[62:], 2)
	data = append(append(data, content...), names...)
	header := func(name, kind uint32, offset, size int) {
		h := make([]byte, 64)
		le.PutUint32(h, name)
		le.PutUint32(h[4:], kind)
		le.PutUint64(h[24:], uint64(offset))
		le.PutUint64(h[32:], uint64(size))
		data = append(data, h...)
	}
	header(0, 0, 0, 0)
	header(1, 1, 64, len(content))
	header(uint32(2+len(section)), 3, 64+len(content), len(names))
	return data
}

// bzImage is a kernel image around a payload that is packed already.
func bzImage(release string, packed []byte, size int) []byte {
	le := binary.LittleEndian
	image := make([]byte, 1024)
	image[setupSectors] = 1
	copy(image[headerMagic:], "HdrS")
	le.PutUint16(image[headerVersion:], 0x20f)
	le.PutUint16(image[kernelVersion:], 0x100)
	copy(image[0x300:], release+" (somebody) #1\x00")
	le.PutUint32(image[payloadOffset:], 16)
	le.PutUint32(image[payloadLength:], uint32(len(packed)+4))
	image = append(image, make([]byte, 16)...)
	return le.AppendUint32(append(image, packed...), uint32(size))
}

func gzipped(t *testing.T, data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func zstandard(t *testing.T, data []byte) []byte {
	w, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return w.EncodeAll(data, nil)
}

func legacyLZ4(t *testing.T, data []byte) []byte {
	var b bytes.Buffer
	w := lz4.NewWriter(&b)
	require.NoError(t, w.Apply(lz4.LegacyOption(true)))
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// signed appends what looks like a signature.
func signed(module []byte) []byte {
	out := append(append([]byte(nil), module...), "the signature"...)
	out = append(out, 0, 0, 2, 0, 0, 0, 0, 0)
	out = binary.BigEndian.AppendUint32(out, uint32(len("the signature")))
	return append(out, signatureMagic...)
}

const testRelease = "6.1.0-99-cloud-amd64"

// install lays a kernel and its modules out below dir, as a package does.
func install(t *testing.T, dir string) (file string) {
	modules := filepath.Join(dir, "lib/modules", testRelease)
	depends := map[string]string{
		"virtio/virtio_mmio": "virtio", "virtio/virtio": "virtio_ring", "virtio/virtio_ring": "", "char/virtio_console": "virtio_ring,virtio",
		"block/virtio_blk": "virtio", "lib/libcrc32c": "", "fs/erofs": "libcrc32c", "fs/other": "", "fs/fuse": "",
	}
	for name, d := range depends {
		path := filepath.Join(modules, "kernel", name+".ko")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		module := elfFile(".modinfo", "license=GPL\x00depends="+d+"\x00name="+filepath.Base(name)+"\x00")
		require.NoError(t, os.WriteFile(path, signed(module), 0o644))
	}
	require.NoError(t, os.WriteFile(filepath.Join(modules, "modules.builtin"), []byte("kernel/fs/overlayfs/overlay.ko\nkernel/fs/ext4/ext4.ko\n"), 0o644))
	vmlinux := elfFile(".text", "code of the kernel")
	file = filepath.Join(dir, "boot/vmlinuz-"+testRelease)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, bzImage(testRelease, gzipped(t, vmlinux), len(vmlinux)), 0o644))
	return file
}
