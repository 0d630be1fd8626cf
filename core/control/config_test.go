package control

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

func TestConfigKeepsEveryByteOfPaths(t *testing.T) {
	in := Config{
		Protocol: Protocol, Name: "n", StateDir: "/state/\xff\x80", StoredDir: "/stored/\xfe",
		Root: image.Root{Kind: image.Dir, Path: "/root/\xc3\x28"}, MemoryBytes: 1, Labels: []string{"a=b"},
		Mounts: []mounts.Entry{{Spec: mounts.Spec{Source: "/\xff", Target: "/\xfe"}, FD: 3, Dev: 1, Ino: 1<<64 - 1}},
	}
	data, err := json.Marshal(in)
	require.NoError(t, err)
	var out Config
	require.NoError(t, json.Unmarshal(data, &out))
	assert.Equal(t, in, out)
}
