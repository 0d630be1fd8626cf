package gvisor

import (
	"bytes"
	"encoding/json"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// theirSpec is one of ours as gVisor reads it; a field that it does not know fails.
func theirSpec(t *testing.T, ours *ociSpec) *specs.Spec {
	t.Helper()
	data, err := json.Marshal(ours)
	require.NoError(t, err)
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	theirs := &specs.Spec{}
	require.NoError(t, decoder.Decode(theirs), pinChanged)
	return theirs
}

// Nothing is lost between ours and the specification's own types.
func TestSpecIsTheSpecifications(t *testing.T) {
	root := &rootFS{
		path: "/r", annotations: map[string]string{"a": "b"},
		mounts: []ociMount{{Type: "bind", Source: "/usr", Destination: "/usr", Options: []string{"rbind", "ro"}}},
	}
	ours := root.spec(idMap{uid: 1000, gid: 2000, size: 65536}, 1<<20)
	theirs := theirSpec(t, ours)
	data, err := json.Marshal(theirs)
	require.NoError(t, err)
	var back ociSpec
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, *ours, back)
	assert.Equal(t, specs.LinuxIDMapping{ContainerID: 0, HostID: 2000, Size: 65536}, theirs.Linux.GIDMappings[0])
	for _, n := range theirs.Linux.Namespaces {
		assert.Contains(t, []specs.LinuxNamespaceType{specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace,
			specs.MountNamespace, specs.UserNamespace}, n.Type)
	}
}
