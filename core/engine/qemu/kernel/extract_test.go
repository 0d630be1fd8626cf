package kernel

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExtract(t *testing.T) {
	vmlinux := elfFile(".text", "code")
	for name, pack := range map[string]func(*testing.T, []byte) []byte{
		"gzip": gzipped, "zstd": zstandard, "lz4": legacyLZ4, "none": func(_ *testing.T, d []byte) []byte { return d },
	} {
		got, release, err := extract(bzImage(testRelease, pack(t, vmlinux), len(vmlinux)))
		require.NoError(t, err, name)
		assert.Equal(t, vmlinux, got, name)
		assert.Equal(t, testRelease, release, name)
	}
	plain := elfFile(".rodata", "Linux version %s\x00Linux version 6.12.1 (somebody)\x00")
	got, release, err := extract(plain)
	require.NoError(t, err)
	assert.Equal(t, plain, got)
	assert.Equal(t, "6.12.1", release)
}

func TestExtractRefuses(t *testing.T) {
	vmlinux := elfFile(".text", "code")
	good := bzImage(testRelease, gzipped(t, vmlinux), len(vmlinux))
	cut := good[:len(good)-40]
	old := append([]byte(nil), good...)
	old[headerVersion], old[headerVersion+1] = 0x07, 0x02
	for name, c := range map[string]struct {
		image []byte
		want  string
	}{
		"empty":           {nil, "neither a bzImage"},
		"text":            {[]byte("#!/bin/sh\n"), "neither a bzImage"},
		"truncated":       {cut, "truncated"},
		"old":             {old, "older than 2.08"},
		"not a kernel":    {vmlinux, "without a kernel's banner"},
		"unknown packing": {bzImage("6", []byte("BZh9 whatever"), 10), "not known"},
		"wrong size":      {bzImage("6", gzipped(t, vmlinux), len(vmlinux)+1), "unpack"},
		"huge":            {bzImage("6", gzipped(t, vmlinux), 1<<31-1), "at most"},
		"no ELF":          {bzImage("6", gzipped(t, []byte("hello")), 5), "its payload"},
	} {
		_, _, err := extract(c.image)
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), c.want, name)
	}
}
