package sentry

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
)

// mountRoot runs in the gofer before gVisor's code: it attaches the detached root
// that the supervisor has donated. Without an annotation there is nothing to do.
func mountRoot() {
	if err := tryMountRoot(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err) // the gofer's standard error is /dev/null or a log
		os.Exit(128)
	}
}

func tryMountRoot(args []string) error {
	annotations, err := specAnnotations(args)
	if err != nil {
		return fmt.Errorf("gofer: read the specification: %w", err)
	}
	number := annotations[wire.RootAnnotation]
	if number == "" {
		return nil
	}
	i, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("gofer: the root: %w", err)
	}
	tree := donated(i)
	defer tree.Close()
	if err := attach(tree, wire.RootTarget); err != nil {
		return fmt.Errorf("gofer: attach the root: %w", err)
	}
	return nil
}

// donated is a mount that the gofer was started with.
func donated(i int) *os.File { return os.NewFile(uintptr(wire.DonatedFD(i)), "tree") }

// option returns the value of an option in a command line of ours, or "".
func option(args []string, name string) string {
	for _, a := range args {
		if value, ok := strings.CutPrefix(a, name+"="); ok {
			return value
		}
	}
	return ""
}

// specAnnotations reads the annotations of the specification that a process of
// gVisor's was started with, without moving the file's offset.
func specAnnotations(args []string) (map[string]string, error) {
	fd, err := strconv.Atoi(option(args, "--spec-fd"))
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	data := make([]byte, st.Size)
	if _, err := unix.Pread(fd, data, 0); err != nil {
		return nil, err
	}
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	err = json.Unmarshal(data, &spec)
	return spec.Annotations, err
}
