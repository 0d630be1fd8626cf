package control

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// isBroken reports whether a send failed because the other end is gone.
func isBroken(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA) ||
		errors.Is(err, windows.ERROR_PIPE_NOT_CONNECTED) || errors.Is(err, os.ErrClosed)
}
