package handle_test

import (
	"io"
	"os"
)

// readFD reads everything and closes the descriptor.
func readFD(fd int) string {
	f := os.NewFile(uintptr(fd), "pipe")
	defer f.Close()
	data, _ := io.ReadAll(f)
	return string(data)
}
