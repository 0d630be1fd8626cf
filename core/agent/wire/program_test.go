package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLimitsOfAProgramThatHasEnded(t *testing.T) {
	m := Exited{Status: 256, CPUTime: 1, OwnCPUTime: Unknown, Written: [2]uint64{3, 4}, Hit: HitProcesses | HitOverlay}
	got, err := DecodeExited(m.Append(nil))
	require.NoError(t, err)
	assert.Equal(t, m, got)
	m.Hit = 4
	_, err = DecodeExited(m.Append(nil))
	assert.Error(t, err, "a limit that is none")
}
