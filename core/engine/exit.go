package engine

import (
	"fmt"
	"syscall"
)

// ExitText says how a process ended.
func ExitText(status syscall.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("killed by signal %d", status.Signal())
	}
	return fmt.Sprintf("exited with code %d", status.ExitStatus())
}
