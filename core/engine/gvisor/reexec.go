package gvisor

import (
	"encoding/json"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memoryAnnotation tells the sentry the machine's memory limit in bytes.
const memoryAnnotation = "microsandbox.memory-bytes"

// option returns the value of an option in a command line of gVisor's, or "".
// gVisor writes both --name=value and --name value.
func option(args []string, name string) string {
	for i, a := range args {
		if value, ok := strings.CutPrefix(a, name+"="); ok {
			return value
		}
		if a == name && i+1 < len(args) {
			return args[i+1]
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

// limitTotalMemory makes the guest's /proc/meminfo show the machine's memory
// limit: many programs size their heaps by it. gVisor would show the host's. File
// systems in memory take as many inodes as Linux would allow with so much memory:
// one for each two pages.
func limitTotalMemory(args []string, limit string) {
	if limit == "" {
		return
	}
	for _, name := range []string{"--total-memory", "--total-host-memory"} {
		for i, a := range args {
			if strings.HasPrefix(a, name+"=") {
				args[i] = name + "=" + limit
			}
			if a == name && i+1 < len(args) {
				args[i+1] = limit
			}
		}
	}
}
