package gvisor

import (
	"fmt"
	"os"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
)

// command is a command line of a process of gVisor's, and what it is handed.
type command struct {
	args   []wire.Arg
	files  []*os.File
	own    []*os.File // of those, what is closed once it is handed over
	served []*os.File // the sentry's connections to a gofer, in the mounts' order
}

func (c *command) add(args ...string) {
	for _, a := range args {
		c.args = append(c.args, wire.Arg{Text: a})
	}
}

// donate hands a file over, which stays the caller's too.
func (c *command) donate(flag string, f *os.File) {
	c.files = append(c.files, f)
	c.args = append(c.args, wire.Arg{Text: "--" + flag + "=", File: len(c.files)})
}

// give hands a file over; close closes it here.
func (c *command) give(flag string, f *os.File) {
	c.own = append(c.own, f)
	c.donate(flag, f)
}

// argv is the command line of a process whose descriptors from first on are files.
func (c *command) argv(first int) []string {
	var argv []string
	for _, a := range c.args {
		if a.File > 0 {
			a.Text += fmt.Sprint(first + a.File - 1)
		}
		argv = append(argv, a.Text)
	}
	return argv
}

func (c *command) close() { closeAll(c.own) }

// mountConfs says of the root and each mount that comes from a file or directory of
// the host who serves it, and where changes to it go.
func mountConfs(spec *ociSpec, overlayBytes uint64) []string {
	root := servedBy
	if isImage(spec) {
		root = "erofs"
	}
	confs := []string{fmt.Sprintf("%s:memory:size=%d", root, overlayBytes)}
	for _, m := range spec.Mounts {
		switch m.Type {
		case "bind":
			confs = append(confs, servedBy+":none")
		case "erofs":
			confs = append(confs, "erofs:none")
		}
	}
	return confs
}

const servedBy = "lisafs" // gVisor's name of the gofer's protocol

func isImage(spec *ociSpec) bool {
	return spec.Annotations["dev.gvisor.spec.rootfs.type"] == "erofs"
}

func joinConfs(confs []string) string { return strings.Join(confs, ",") }

// countServed is how many of the mounts a gofer serves.
func countServed(confs []string) (n int) {
	for _, c := range confs {
		if strings.HasPrefix(c, servedBy+":") {
			n++
		}
	}
	return n
}

// addFiles adds what the sentry mounts from: images, opened anew, and connections to
// the gofer, in the mounts' order.
func (c *command) addFiles(spec *ociSpec) error {
	served := c.served
	add := func(image bool, source string) error {
		if !image {
			c.donate("io-fds", served[0])
			served = served[1:]
			return nil
		}
		f, err := os.Open(source)
		if err == nil {
			c.give("io-fds", f)
		}
		return err
	}
	if err := add(isImage(spec), spec.Annotations["dev.gvisor.spec.rootfs.source"]); err != nil {
		return err
	}
	for _, m := range spec.Mounts {
		if m.Type != "bind" && m.Type != "erofs" {
			continue
		}
		if err := add(m.Type == "erofs", m.Source); err != nil {
			return err
		}
	}
	return nil
}
