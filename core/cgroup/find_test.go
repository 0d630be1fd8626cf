package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree is a fake of mounted hierarchies: files with their content.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return dir
}

func mount(dir, below, root, kind, options string) string {
	return "30 20 0:26 " + root + " " + filepath.Join(dir, below) + " rw,relatime shared:5 - " + kind + " cgroup " + options + "\n"
}

func TestFind(t *testing.T) {
	v2 := map[string]string{
		"cgroup.subtree_control": "cpu memory pids\n", "cgroup.procs": "",
		"app/cgroup.subtree_control": "", "app/cgroup.procs": "", "app/memory.max": "max\n", "app/cpu.max": "max 100000\n",
		"tight/cgroup.subtree_control": "", "tight/cgroup.procs": "", "tight/memory.max": "1048576\n",
		"slow/cgroup.procs": "", "slow/memory.max": "max\n", "slow/cpu.max": "50000 100000\n",
		"bare/cgroup.subtree_control": "pids\n", "bare/leaf/cgroup.procs": "",
	}
	v1 := map[string]string{
		"memory/memory.limit_in_bytes": "", "memory/own/memory.limit_in_bytes": "", "cpu/own/cpu.cfs_quota_us": "",
	}
	hybrid := func(dir string) string {
		return mount(dir, "memory", "/", "cgroup", "rw,memory") + mount(dir, "cpu", "/", "cgroup", "rw,cpu,cpuacct") +
			mount(dir, "unified", "/", "cgroup2", "rw")
	}
	unified := func(dir string) string { return mount(dir, ".", "/", "cgroup2", "rw") }
	for name, c := range map[string]struct {
		files       map[string]string
		mounts      func(dir string) string
		memberships string
		readOnly    string // what may not be written, below the tree
		controller  string
		version     int
		parent      string // below the tree
		why         string
	}{
		"v2 root":                    {v2, unified, "0::/\n", "", Memory, 2, "", ""},
		"v2 beside a leaf":           {v2, unified, "0::/app\n", "", CPU, 2, "", ""},
		"v2 never out of a limit":    {v2, unified, "0::/tight\n", "", Memory, 0, "", "does not delegate"},
		"v2 never out of a quota":    {v2, unified, "0::/slow\n", "", Memory, 0, "", "does not delegate"},
		"v2 without the controller":  {v2, unified, "0::/bare/leaf\n", "", Memory, 0, "", "does not delegate"},
		"v2 without access":          {v2, unified, "0::/app\n", ".", Memory, 0, "", "not writable"},
		"v2 without access to procs": {v2, unified, "0::/app\n", "cgroup.procs", Memory, 0, "", "not writable"},
		"v2 in a namespace": {v2, func(dir string) string { return mount(dir, ".", "/ns", "cgroup2", "rw") }, "0::/ns/app\n", "",
			Memory, 2, "", ""},
		"v2 outside of what is mounted": {v2, func(dir string) string { return mount(dir, ".", "/ns", "cgroup2", "rw") }, "0::/other\n", "",
			Memory, 0, "", "not below"},
		"v1 memory":         {v1, hybrid, "4:memory:/own\n1:cpu,cpuacct:/own\n0::/\n", "", Memory, 1, "memory/own", ""},
		"v1 cpu":            {v1, hybrid, "4:memory:/own\n1:cpu,cpuacct:/own\n0::/\n", "", CPU, 1, "cpu/own", ""},
		"v1 root":           {v1, hybrid, "4:memory:/\n1:cpu,cpuacct:/\n0::/\n", "", Memory, 1, "memory", ""},
		"v1 without access": {v1, hybrid, "4:memory:/own\n", "memory/own", Memory, 0, "", "not writable"},
		"v1 not a member":   {v1, hybrid, "0::/\n", "", Memory, 0, "", "in no group"},
		"v1 gone":           {v1, hybrid, "4:memory:/gone\n", "", Memory, 0, "", "no such file"},
		"none":              {nil, func(string) string { return "" }, "", "", Memory, 0, "", "no mounted hierarchy"},
		"nonsense":          {nil, func(string) string { return "x - y\n- - -\n" }, "::::\n1\n", "", CPU, 0, "", "no mounted hierarchy"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, c.files)
			denied := ""
			if c.readOnly != "" {
				denied = filepath.Join(dir, c.readOnly)
			}
			h := Host{memberships: c.memberships, mountinfo: c.mounts(dir), writable: func(path string) bool { return path != denied }}
			got := h.Find(c.controller)
			assert.Equal(t, c.version, got.Version, got.Why)
			if c.version != 0 {
				assert.Equal(t, filepath.Join(dir, c.parent), got.Parent)
			} else {
				assert.Contains(t, got.Why, c.why)
			}
		})
	}
}

func TestMountPointsWithSpaces(t *testing.T) {
	h := Host{mountinfo: `1 1 0:1 / /a\040b\134 rw - cgroup2 none rw`}
	require.Len(t, h.hierarchies(), 1)
	assert.Equal(t, `/a b\`, h.hierarchies()[0].mountPoint)
}

// What a group gets written, on a tree in which nothing acts on it.
func TestMakeOnAFakeTree(t *testing.T) {
	place := Place{Version: 2, Parent: t.TempDir()}
	_, err := Make(place, place, "other", Limits{MemoryBytes: 1})
	require.Error(t, err, "a directory of no hierarchy has no memory.max")
	name := Name("root", "id")
	_, err = Make(place, Place{}, name, Limits{MemoryBytes: 1})
	require.Error(t, err)
	entries, err := os.ReadDir(place.Parent)
	require.NoError(t, err)
	for _, e := range entries {
		assert.NotEqual(t, name, e.Name(), "nothing is left of a group that could not be limited")
	}
	assert.Equal(t, []string{filepath.Join(place.Parent, name)}, Dirs(place, place, name), "one directory for both controllers")
	assert.Empty(t, Dirs(Place{}, Place{}, name))
	assert.Error(t, RemoveEmpty(filepath.Join(place.Parent, "other")), "not one of ours")
	assert.NoError(t, Remove(filepath.Join(place.Parent, name)), "gone already")
}
