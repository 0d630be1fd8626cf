package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUnpack: into a folder whose path is relative, too, though the tool runs in it.
func TestUnpack(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("needs dpkg-deb")
	}
	tree := t.TempDir()
	for name, text := range map[string]string{
		"DEBIAN/control":                  "Package: image\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: none\n",
		"boot/vmlinuz-1.2":                "kernel",
		"lib/modules/1.2/modules.builtin": "",
	} {
		file := filepath.Join(tree, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	t.Chdir(t.TempDir())
	out, err := exec.Command("dpkg-deb", "--build", "--root-owner-group", tree, "image.deb").CombinedOutput()
	require.NoError(t, err, "%s", out)
	full := t.TempDir()
	require.NoError(t, os.Mkdir("relative", 0o755))
	for _, dir := range []string{full, "relative"} {
		file, err := Unpack(t.Context(), "image.deb", dir)
		require.NoError(t, err)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, "kernel", string(text))
	}
}
