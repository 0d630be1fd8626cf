package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// guestProgram builds programs/guest.c for this machine.
func guestProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "guest")
	out, err := exec.Command("cc", "-std=c99", "-O2", "-o", path, "programs/guest.c").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

func TestStreamIsCheckedByteByByte(t *testing.T) {
	const chunk = 65536
	const length = 4 * chunk
	guest := guestProgram(t)
	sent, err := exec.Command(guest, "send", strconv.Itoa(length)).Output()
	require.NoError(t, err)
	require.Len(t, sent, length)

	flipped := slices.Clone(sent)
	flipped[2*chunk+5] ^= 1
	swapped := slices.Concat(sent[chunk:2*chunk], sent[:chunk], sent[2*chunk:])
	tests := map[string]struct {
		stream []byte
		same   bool
	}{
		"as sent":            {sent, true},
		"last byte missing":  {sent[:length-1], false},
		"last chunk missing": {sent[:3*chunk], false},
		"first byte missing": {sent[1:], false},
		"a chunk doubled":    {slices.Concat(sent[:chunk], sent), false},
		"a byte added":       {append(slices.Clone(sent), 0), false},
		"a bit flipped":      {flipped, false},
		"two chunks swapped": {swapped, false},
		"nothing":            {nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(guest, "receive", strconv.Itoa(length))
			cmd.Stdin = bytes.NewReader(test.stream)
			out, err := cmd.CombinedOutput()
			if test.same {
				assert.NoError(t, err, "%s", out)
			} else {
				assert.ErrorContains(t, err, "exit status 1")
			}
		})
	}
}
