package control

import (
	"errors"
	"os"
	"syscall"
)

// isBroken reports whether a send failed because the other end is gone.
func isBroken(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.ENOTCONN) || errors.Is(err, os.ErrClosed)
}
