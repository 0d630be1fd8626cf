//go:build linux

package control

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestSealedMemfdCannotChange(t *testing.T) {
	fd, err := SealedMemfd("test", []byte("secret"))
	require.NoError(t, err)
	defer unix.Close(fd)
	_, err = unix.Pwrite(fd, []byte("x"), 0)
	assert.ErrorIs(t, err, unix.EPERM)
	assert.ErrorIs(t, unix.Ftruncate(fd, 0), unix.EPERM)
	assert.ErrorIs(t, unix.Ftruncate(fd, 100), unix.EPERM)
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE)
	assert.ErrorIs(t, err, unix.EPERM)
	data, err := ReadSealed(fd, 6)
	require.NoError(t, err)
	assert.Equal(t, "secret", string(data))
}

// The reader's own offset plays no part, so that a descriptor can be read twice.
func TestReadSealedIgnoresOffset(t *testing.T) {
	fd, err := SealedMemfd("test", bytes.Repeat([]byte("x"), 1000))
	require.NoError(t, err)
	defer unix.Close(fd)
	_, err = unix.Seek(fd, 0, unix.SEEK_END)
	require.NoError(t, err)
	for range 2 {
		data, err := ReadSealed(fd, -1)
		require.NoError(t, err)
		assert.Len(t, data, 1000)
	}
}

func TestReadSealedBoundsSize(t *testing.T) {
	fd, err := unix.MemfdCreate("big", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	require.NoError(t, err)
	defer unix.Close(fd)
	require.NoError(t, unix.Ftruncate(fd, 1<<40))
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, allSeals)
	require.NoError(t, err)
	_, err = ReadSealed(fd, -1)
	assert.ErrorContains(t, err, "at most")
	_, err = ReadSealed(fd, 1<<40)
	assert.ErrorContains(t, err, "at most")
}
