// Package fault holds the one error type that crosses every boundary of the
// project: from an engine to the supervisor, over the control socket to the
// library, and through the C ABI to the host program.
package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Code is an MSB_E_* number of include/microsandbox.h.
type Code int32

// The codes. The header says what each means; a test compares the numbers.
const (
	OK          Code = 0
	Invalid     Code = -1
	Handle      Code = -2
	State       Code = -3
	TimedOut    Code = -4
	Canceled    Code = -5
	Closed      Code = -6
	NotFound    Code = -7
	Exists      Code = -8
	Permission  Code = -9
	Unsupported Code = -10
	Limit       Code = -11
	TooNew      Code = -12
	Setup       Code = -13
	Exec        Code = -14
	IO          Code = -15
	Forked      Code = -16
	Launch      Code = -17
	Boot        Code = -18
	Done        Code = -19
	Gone        Code = -20
	Buffer      Code = -21
	Internal    Code = -99
)

// Stage is an MSB_STAGE_* number: where the error arose.
type Stage uint32

// The stages.
const (
	NoStage       Stage = 0
	StageArgument Stage = 1
	StageLaunch   Stage = 2
	StageConfig   Stage = 3
	StageState    Stage = 4
	StageRoot     Stage = 5
	StageEngine   Stage = 6
	StageControl  Stage = 7
	StageExec     Stage = 8
	StageCwd      Stage = 9
	StageStdio    Stage = 10
)

// Error is an error as the C ABI reports it. Message is one line of UTF-8 that
// says what failed, on what, and where it helps what to do.
type Error struct {
	Code    Code          `json:"code"`
	Errno   syscall.Errno `json:"errno,omitempty"`
	Stage   Stage         `json:"stage,omitempty"`
	Message string        `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// Unwrap makes errors.Is work with the errno.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// Is reports whether target is an *Error with the same code, so that a caller
// can write errors.Is(err, &fault.Error{Code: fault.Done}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// New makes an error without an errno.
func New(code Code, stage Stage, format string, args ...any) *Error {
	return &Error{Code: code, Stage: stage, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error from err: its errno is kept, and its code follows from
// the errno where that is more telling than fallback. The message is what plus
// err's text. A wrapped *Error keeps its own code and stage.
func Wrap(err error, fallback Code, stage Stage, what string) *Error {
	var own *Error
	if errors.As(err, &own) {
		e := *own
		e.Message = what + ": " + own.Message
		return &e
	}
	e := &Error{Code: fallback, Stage: stage, Message: what + ": " + err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		e.Errno = errno
		e.Code = FromErrno(errno, fallback)
	}
	return e
}

// FromErrno maps an errno to the code that tells the caller most.
func FromErrno(errno syscall.Errno, fallback Code) Code {
	switch {
	case errors.Is(errno, fs.ErrNotExist), errno == syscall.ENOTDIR:
		return NotFound
	case errors.Is(errno, fs.ErrPermission), errno == syscall.EROFS:
		return Permission
	case errno == syscall.EMFILE, errno == syscall.ENFILE, errno == syscall.ENOMEM,
		errno == syscall.ENOSPC, errno == syscall.EDQUOT, errno == syscall.EAGAIN:
		return Limit
	}
	return fallback
}

// From returns err as an *Error: itself where it is one, a context's end as
// TimedOut or Canceled, anything else as Internal.
func From(err error) *Error {
	var own *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.Is(err, context.DeadlineExceeded):
		return New(TimedOut, NoStage, "timed out")
	case errors.Is(err, context.Canceled):
		return New(Canceled, NoStage, "canceled by msb_cancel")
	}
	return Wrap(err, Internal, NoStage, "internal")
}
