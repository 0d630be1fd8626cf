package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWrapKeepsWhatIsKnown(t *testing.T) {
	e := Wrap(&os.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}, IO, StageRoot, "root")
	assert.Equal(t, &Error{Code: Permission, Errno: syscall.EACCES, Stage: StageRoot, Message: "root: open /x: permission denied"}, e)
	assert.ErrorIs(t, e, syscall.EACCES)
	assert.ErrorIs(t, e, os.ErrPermission)

	own := New(Exists, StageState, "taken")
	again := Wrap(fmt.Errorf("deep: %w", own), IO, StageRoot, "create")
	assert.Equal(t, &Error{Code: Exists, Stage: StageState, Message: "create: taken"}, again)
	assert.Equal(t, "taken", own.Message, "the wrapped one is not changed")
	assert.Equal(t, IO, Wrap(errors.New("x"), IO, NoStage, "y").Code)
}

func TestFromErrno(t *testing.T) {
	for errno, want := range map[syscall.Errno]Code{
		syscall.ENOENT: NotFound, syscall.ENOTDIR: NotFound, syscall.EACCES: Permission, syscall.EPERM: Permission,
		syscall.EROFS: Permission, syscall.EMFILE: Limit, syscall.ENFILE: Limit, syscall.ENOMEM: Limit,
		syscall.ENOSPC: Limit, syscall.EDQUOT: Limit, syscall.EAGAIN: Limit, syscall.EIO: IO, syscall.EINVAL: IO,
	} {
		assert.Equal(t, want, FromErrno(errno, IO), errno.Error())
	}
}

func TestFrom(t *testing.T) {
	assert.Nil(t, From(nil))
	own := New(Gone, StageControl, "x")
	assert.Same(t, own, From(fmt.Errorf("around: %w", own)))
	assert.Equal(t, TimedOut, From(context.DeadlineExceeded).Code)
	assert.Equal(t, Canceled, From(context.Canceled).Code)
	assert.Equal(t, Internal, From(errors.New("surprise")).Code)
}

func TestIsComparesCodes(t *testing.T) {
	e := New(Done, NoStage, "ended")
	assert.ErrorIs(t, e, &Error{Code: Done})
	assert.NotErrorIs(t, e, &Error{Code: Gone})
	assert.NotErrorIs(t, e, syscall.ENOENT)
}

func TestJSONRoundTrip(t *testing.T) {
	want := &Error{Code: Exec, Errno: syscall.ENOENT, Stage: StageCwd, Message: "ü\n"}
	data, err := json.Marshal(want)
	require.NoError(t, err)
	got := new(Error)
	require.NoError(t, json.Unmarshal(data, got))
	assert.Equal(t, want, got)
}

// The numbers are those of the header, each and no other.
func TestNumbersAreTheHeaders(t *testing.T) {
	header, err := os.ReadFile("../../include/microsandbox/base.h")
	require.NoError(t, err)
	numbers := func(prefix string) map[string]int {
		out := map[string]int{}
		for _, m := range regexp.MustCompile(`(?m)^#define `+prefix+`(\w+)\s+\(?(-?\d+)\)?`).FindAllStringSubmatch(string(header), -1) {
			n, err := strconv.Atoi(m[2])
			require.NoError(t, err)
			out[m[1]] = n
		}
		return out
	}
	codes := map[string]int{}
	for name, c := range map[string]Code{
		"INVALID": Invalid, "HANDLE": Handle, "STATE": State, "TIMED_OUT": TimedOut, "CANCELED": Canceled, "CLOSED": Closed,
		"NOT_FOUND": NotFound, "EXISTS": Exists, "PERMISSION": Permission, "UNSUPPORTED": Unsupported, "LIMIT": Limit,
		"TOO_NEW": TooNew, "SETUP": Setup, "EXEC": Exec, "IO": IO, "FORKED": Forked, "LAUNCH": Launch, "BOOT": Boot,
		"DONE": Done, "GONE": Gone, "BUFFER": Buffer, "INTERNAL": Internal,
	} {
		codes[name] = int(c)
	}
	assert.Equal(t, numbers("MSB_E_"), codes)
	stages := map[string]int{}
	for name, s := range map[string]Stage{
		"NONE": NoStage, "ARGUMENT": StageArgument, "LAUNCH": StageLaunch, "CONFIG": StageConfig, "STATE": StageState, "ROOT": StageRoot,
		"ENGINE": StageEngine, "CONTROL": StageControl, "EXEC": StageExec, "CWD": StageCwd, "STDIO": StageStdio,
	} {
		stages[name] = int(s)
	}
	assert.Equal(t, numbers("MSB_STAGE_"), stages)
}

func TestPanicsAreReported(t *testing.T) {
	text := make(chan string, 1)
	OnPanic(func(s string) { text <- s })
	defer OnPanic(func(string) {})
	Go("the test", func() { panic("boom") })
	assert.Contains(t, <-text, "panic in the test: boom")
}
