package main

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCheckerComparesWords(t *testing.T) {
	stream := make([]byte, 4096)
	for i := range len(stream) / 8 {
		binary.LittleEndian.PutUint64(stream[8*i:], uint64(i)*patternFactor)
	}
	feed := func(b []byte, sizes ...int) *checker {
		c := &checker{}
		for i := 0; len(b) > 0; i++ {
			n := min(sizes[i%len(sizes)], len(b))
			c.Write(b[:n])
			b = b[n:]
		}
		return c
	}
	for _, sizes := range [][]int{{4096}, {1}, {3, 13, 8}, {7, 1001}} {
		c := feed(stream, sizes...)
		assert.False(t, c.wrong, "%v", sizes)
		assert.EqualValues(t, len(stream), c.bytes, "%v", sizes)
	}
	assert.True(t, feed(append([]byte{0}, stream...), 64).wrong, "a byte too many")
	assert.True(t, feed(stream[8:], 64).wrong, "a word is lost")
	assert.EqualValues(t, len(stream)-8, feed(stream[:len(stream)-1], 64).bytes, "the last byte is lost")
}
