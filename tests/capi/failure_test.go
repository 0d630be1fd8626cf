package capi

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var toolOnce sync.Once

// createTool returns the compiled tool/create.c.
func createTool(t *testing.T) string {
	t.Helper()
	dir, err := suite()
	require.NoError(t, err)
	path := filepath.Join(dir, "create")
	toolOnce.Do(func() { compile(t, path, "tool/create.c") })
	return path
}

// attempt creates a sandbox with the options and returns what came of it.
func attempt(t *testing.T, state string, options ...string) string {
	t.Helper()
	return attemptIn(t, []string{"MSB_HOME=" + state}, options...)
}

func attemptIn(t *testing.T, env []string, options ...string) string {
	t.Helper()
	out := run(t, time.Minute, env, append([]string{createTool(t)}, options...)...)
	for line := range strings.Lines(out) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		require.Len(t, fields, 4, "%q", line)
		assert.Equal(t, fields[0] == "MSB_OK", fields[3] == "", "an error has a message: %q", line)
	}
	return strings.TrimSuffix(out, "\n")
}

const (
	stageLaunch = 2
	stageState  = 4
	stageRoot   = 5
	stageEngine = 6
)

func TestSupervisorsThatMisbehave(t *testing.T) {
	dir, pids := writeFakes(t)
	for _, test := range []struct {
		name    string
		results []string // any of these
		stages  []int
		errno   syscall.Errno
		says    string
	}{
		{"absent", []string{"MSB_E_NOT_FOUND", "MSB_E_LAUNCH"}, []int{stageLaunch}, syscall.ENOENT, "absent"},
		{"forbidden", []string{"MSB_E_PERMISSION", "MSB_E_LAUNCH"}, []int{stageLaunch}, syscall.EACCES, "executable"},
		{"noformat", []string{"MSB_E_LAUNCH"}, []int{stageLaunch}, syscall.ENOEXEC, "executable"},
		{"empty", []string{"MSB_E_LAUNCH"}, []int{stageLaunch}, syscall.ENOEXEC, "executable"},
		{".", []string{"MSB_E_PERMISSION", "MSB_E_LAUNCH"}, []int{stageLaunch}, syscall.EACCES, ""},
		{"hangs", []string{"MSB_E_TIMED_OUT"}, []int{stageLaunch}, 0, "startup line"},
		{"stubborn", []string{"MSB_E_TIMED_OUT"}, []int{stageLaunch}, 0, "startup line"},
		{"exits", []string{"MSB_E_LAUNCH"}, []int{stageLaunch}, 0, "exited with code 3"},
		{"complains", []string{"MSB_E_LAUNCH"}, []int{stageLaunch}, 0, "out of order"},
		{"killsitself", []string{"MSB_E_LAUNCH"}, []int{stageLaunch}, 0, "signal 9"},
		{"garbage", []string{"MSB_E_LAUNCH"}, []int{stageLaunch}, 0, ""},
		{"newline", []string{"MSB_E_LAUNCH"}, []int{stageLaunch}, 0, ""},
		{"old", []string{"MSB_E_LAUNCH"}, []int{stageLaunch}, 0, "protocol 0"},
		{"new", []string{"MSB_E_LAUNCH"}, []int{stageLaunch}, 0, "protocol 999"},
		{"wrapper", []string{"MSB_E_LAUNCH"}, []int{stageLaunch}, 0, "pid"},
		{"silent", []string{"MSB_E_TIMED_OUT"}, []int{stageEngine, stageLaunch}, 0, "not ready"},
		{"dies", []string{"MSB_E_BOOT"}, []int{stageEngine}, 0, "no memory"},
		{"talks", []string{"MSB_E_BOOT", "MSB_E_LAUNCH", "MSB_E_GONE", "MSB_E_TIMED_OUT"}, nil, 0, ""},
		{"floods", []string{"MSB_E_TIMED_OUT"}, []int{stageLaunch}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "state")
			began := time.Now()
			got := attempt(t, state, "msb_path="+filepath.Join(dir, test.name), "start_timeout_ms=500")
			var result, text string
			var stage, errno int
			fmt.Sscanf(got, "%s %d %d", &result, &stage, &errno)
			text = got[strings.Index(got, " "):]
			assert.Contains(t, test.results, result, got)
			if test.stages != nil {
				assert.Contains(t, test.stages, stage, got)
			}
			if test.errno != 0 {
				assert.Equal(t, test.errno, syscall.Errno(errno), got)
			}
			assert.Contains(t, text, test.says)
			assert.Less(t, time.Since(began), 15*time.Second)
			noneAlive(t, pids)
			nothingLeft(t, state)
		})
	}
}

// The twin of the table above: with the real msb the same call succeeds.
func TestTheRealSupervisorIsFoundAndWorks(t *testing.T) {
	msb := real(t)
	state := filepath.Join(t.TempDir(), "state")
	assert.Equal(t, "MSB_OK 0 0 ", attempt(t, state), "beside the library")
	assert.Equal(t, "MSB_OK 0 0 ", attempt(t, state, "msb_path="+msb))
	nothingLeft(t, state)
}

func TestRoots(t *testing.T) {
	real(t)
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("no image"), 0o600))
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for _, test := range []struct{ name, kind, path, result string }{
		{"missing directory", "1", dir + "/absent", "MSB_E_NOT_FOUND"},
		{"file as directory", "1", file, ""},
		{"missing image", "2", dir + "/absent", "MSB_E_NOT_FOUND"},
		{"directory as image", "2", dir, ""},
		{"not an image", "2", file, ""},
		{"empty image", "2", empty, ""},
		{"device as image", "2", "/dev/null", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := attempt(t, state, "root_kind="+test.kind, "root_path="+test.path)
			assert.NotContains(t, got, "MSB_OK")
			assert.NotContains(t, got, "MSB_E_INTERNAL")
			assert.NotContains(t, got, "MSB_E_TIMED_OUT")
			if test.result != "" {
				assert.Equal(t, test.result, strings.Fields(got)[0], got)
			}
			assert.Equal(t, fmt.Sprint(stageRoot), strings.Fields(got)[1], got)
			nothingLeft(t, state)
		})
	}
}

// makeImage returns an EROFS image with a static busybox as /bin/true.
func makeImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	require.NoError(t, os.MkdirAll(tree+"/bin", 0o755))
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed (package busybox-static)")
	}
	text, err := os.ReadFile(busybox)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(tree+"/bin/busybox", text, 0o755))
	require.NoError(t, os.Link(tree+"/bin/busybox", tree+"/bin/true"))
	image := filepath.Join(dir, "image")
	mkfs, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		if mkfs, err = exec.LookPath("/usr/sbin/mkfs.erofs"); err != nil {
			t.Skip("mkfs.erofs is not installed (package erofs-utils)")
		}
	}
	out, err := exec.Command(mkfs, "-E", "noinline_data", image, tree).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return image
}

func TestTruncatedImages(t *testing.T) {
	real(t)
	image := makeImage(t)
	state := filepath.Join(t.TempDir(), "state")
	assert.Equal(t, "MSB_OK 0 0 ", attempt(t, state, "root_kind=2", "root_path="+image), "the whole image")
	info, err := os.Stat(image)
	require.NoError(t, err)
	for _, size := range []int64{100, 1024, 1100, 4096, info.Size() / 2, info.Size() - 4096} {
		require.NoError(t, os.Truncate(image, size))
		got := attempt(t, state, "root_kind=2", "root_path="+image, "start_timeout_ms=10000")
		assert.NotContains(t, got, "MSB_OK", "%d of %d bytes", size, info.Size())
		assert.NotContains(t, got, "MSB_E_INTERNAL")
		nothingLeft(t, state)
		require.NoError(t, os.Remove(image))
		image = makeImage(t)
	}
}

func TestStateDirectories(t *testing.T) {
	real(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	deep := filepath.Join(dir, strings.Repeat("d", 200), strings.Repeat("e", 200), "state")
	got := attempt(t, "", "state_dir="+deep)
	assert.Equal(t, "MSB_OK 0 0 ", got, "it is made when missing, and long")
	nothingLeft(t, deep)

	for name, path := range map[string]string{"a file": file, "below a file": file + "/state", "in /proc": "/proc/state"} {
		got := attempt(t, "", "state_dir="+path)
		assert.NotContains(t, got, "MSB_OK", name)
		assert.Equal(t, fmt.Sprint(stageState), strings.Fields(got)[1], "%s: %s", name, got)
	}

	// $MSB_HOME, $XDG_RUNTIME_DIR/microsandbox: the environment of the moment of the call.
	home, xdg := filepath.Join(dir, "home"), filepath.Join(dir, "xdg")
	require.NoError(t, os.Mkdir(xdg, 0o700))
	assert.Equal(t, "MSB_OK 0 0 ", attemptIn(t, []string{"MSB_HOME=" + home, "XDG_RUNTIME_DIR=" + xdg}))
	assert.DirExists(t, home)
	assert.NoDirExists(t, xdg+"/microsandbox")
	assert.Equal(t, "MSB_OK 0 0 ", attemptIn(t, []string{"XDG_RUNTIME_DIR=" + xdg}))
	assert.DirExists(t, xdg+"/microsandbox")
}

// mountTmpfs mounts a tmpfs or skips.
func mountTmpfs(t *testing.T, options string, flags uintptr) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a tmpfs needs root")
	}
	dir := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", flags, options))
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

func TestStateDirectoryIsReadOnly(t *testing.T) {
	real(t)
	dir := mountTmpfs(t, "size=1m", syscall.MS_RDONLY)
	got := attempt(t, "", "state_dir="+dir+"/state")
	assert.Regexp(t, `^MSB_E_(PERMISSION|IO) 4 30 `, got)
}

func TestStateDirectoryIsFull(t *testing.T) {
	real(t)
	dir := mountTmpfs(t, "size=8m", 0)
	state := filepath.Join(dir, "state")
	require.NoError(t, os.Mkdir(state, 0o700))
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	require.NoError(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	f.Close()
	got := attempt(t, "", "state_dir="+state)
	assert.Regexp(t, `^MSB_E_LIMIT \d+ 28 `, got)
	require.NoError(t, os.Remove(filler))
	assert.Equal(t, "MSB_OK 0 0 ", attempt(t, "", "state_dir="+state), "with room it works")
	nothingLeft(t, state)
}

func TestStateDirectoryIsUnreadable(t *testing.T) {
	real(t)
	if os.Geteuid() == 0 {
		t.Skip("needs a user other than root: root reads everything")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	assert.Regexp(t, `^MSB_E_PERMISSION 4 13 `, attempt(t, "", "state_dir="+dir+"/state"))
}

// With few descriptors left a create fails with LIMIT or works; it never hangs,
// crashes or leaves anything.
func TestNoFreeDescriptors(t *testing.T) {
	real(t)
	state := filepath.Join(t.TempDir(), "state")
	limited, worked := 0, 0
	for _, free := range []int{0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48} {
		got := attempt(t, state, fmt.Sprint("nofile=", free), "start_timeout_ms=10000")
		switch strings.Fields(got)[0] {
		case "MSB_E_LIMIT":
			limited++
			assert.Equal(t, fmt.Sprint(int(syscall.EMFILE)), strings.Fields(got)[2], "%d free: %s", free, got)
		case "MSB_OK":
			worked++
		default:
			t.Errorf("%d descriptors free: %s", free, got)
		}
	}
	assert.NotZero(t, limited)
	assert.NotZero(t, worked)
	assert.Equal(t, "MSB_OK 0 0 ", attempt(t, state))
	nothingLeft(t, state)
}

func TestLimitAtLoadIsKept(t *testing.T) {
	bin := program(t)
	out, err := exec.Command("sh", "-c", "ulimit -Sn 123; EXPECT_NOFILE=123 exec "+bin+" limits_at_load").CombinedOutput()
	assert.NoError(t, err, "%s", out)
	out, err = exec.Command("sh", "-c", "ulimit -Sn 124; EXPECT_NOFILE=123 exec "+bin+" limits_at_load").CombinedOutput()
	assert.Error(t, err, "the check is in force: %s", out)
}
