// Package terminal makes pseudo-terminals: the pair of a program's terminal, whose
// master is the caller's and whose slave the supervisor's.
package terminal

import "github.com/libmicrosandbox/microsandbox/core/fault"

// Size is that of a terminal's window, in characters.
type Size struct{ Rows, Cols uint32 }

// DefaultSize is what a terminal has that nobody gave a size.
var DefaultSize = Size{Rows: 24, Cols: 80}

// maxSide is the largest number of rows or columns that the kernel can hold.
const maxSide = 65535

// Check refuses what is no size of a window.
func (s Size) Check() error {
	if s.Rows < 1 || s.Rows > maxSide || s.Cols < 1 || s.Cols > maxSide {
		return fault.New(fault.Invalid, fault.StageArgument, "terminal of %d rows and %d columns: each must be between 1 and %d", s.Rows, s.Cols, maxSide)
	}
	return nil
}
