package mounts

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func diskFile(t *testing.T, content []byte) string {
	path := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// qcow2 is a header with these fields changed.
func qcow2(change func(h []byte)) []byte {
	h := make([]byte, 512)
	copy(h, qcow2Magic)
	binary.BigEndian.PutUint32(h[qcow2Version:], 3)
	change(h)
	return h
}

func TestDisksAreOpenAsTheMountNeedsThem(t *testing.T) {
	path := diskFile(t, make([]byte, 1024))
	for readOnly, want := range map[bool]int{true: unix.O_RDONLY, false: unix.O_RDWR} {
		s, err := Open(Spec{Kind: Disk, Source: path, Target: "/d", ReadOnly: readOnly})
		require.NoError(t, err)
		flags, err := unix.FcntlInt(s.File().Fd(), unix.F_GETFL, 0)
		require.NoError(t, err)
		assert.Equal(t, want, flags&unix.O_ACCMODE)
		s.Close()
	}
	file, err := os.Open(path)
	require.NoError(t, err)
	_, err = FromFD(Spec{Kind: Disk, Source: path, Target: "/d"}, file)
	assert.ErrorContains(t, err, "not open for reading and writing")
}

func TestDisksThatAreRefused(t *testing.T) {
	whole := qcow2(func([]byte) {})
	for name, c := range map[string]struct {
		content []byte
		qcow2   bool
		want    string
	}{
		"raw":                  {make([]byte, 512), false, ""},
		"raw with qcow2 in it": {whole, false, ""},
		"qcow2":                {whole, true, ""},
		"empty":                {nil, false, "multiple of 512"},
		"odd size":             {make([]byte, 700), false, "multiple of 512"},
		"raw as qcow2":         {make([]byte, 512), true, "not a qcow2 image"},
		"short qcow2":          {[]byte(qcow2Magic), true, "not a qcow2 image"},
		"backing file":         {qcow2(func(h []byte) { h[qcow2Backing+7] = 1 }), true, "rests on another file"},
		"external data":        {qcow2(func(h []byte) { h[qcow2Incompatible+7] = qcow2ExternalData }), true, "its data in another file"},
		"encrypted":            {qcow2(func(h []byte) { h[qcow2Crypt+3] = 1 }), true, "encrypted"},
		"version 9":            {qcow2(func(h []byte) { h[qcow2Version+3] = 9 }), true, "version 9"},
	} {
		s, err := Open(Spec{Kind: Disk, Source: diskFile(t, c.content), Target: "/d", QCOW2: c.qcow2, ReadOnly: true})
		if c.want == "" {
			if assert.NoError(t, err, name) {
				s.Close()
			}
			continue
		}
		assert.ErrorContains(t, err, c.want, name)
		assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, name)
	}
	_, err := Open(Spec{Kind: Disk, Source: t.TempDir(), Target: "/d"})
	assert.ErrorContains(t, err, "mount it as a bind")
	_, err = Validate([]Spec{{Kind: EROFS, Source: "/i", Target: "/d", QCOW2: true}})
	assert.ErrorContains(t, err, "only a disk can be a qcow2 image")
}

// Only a disk can be at /, and it has no flags.
func TestDiskAtTheRoot(t *testing.T) {
	_, err := Validate([]Spec{{Kind: Disk, Source: "/i", Target: "/"}, {Kind: Tmpfs, Target: "/t"}}, "/engine")
	assert.NoError(t, err)
	for name, s := range map[string]Spec{
		"directory": {Source: "/i", Target: "/"}, "tmpfs": {Kind: Tmpfs, Target: "/"}, "image": {Kind: EROFS, Source: "/i", Target: "/"},
		"read-only": {Kind: Disk, Source: "/i", Target: "/", ReadOnly: true}, "noexec": {Kind: Disk, Source: "/i", Target: "/", NoExec: true},
	} {
		_, err := Validate([]Spec{s})
		assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, name)
	}
}
