package runtime

import (
	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// screen is the host's side of a terminal, which no program of this platform has.
type screen struct{}

func (*screen) forward(engine.Process) {}
func (*screen) close()                 {}

// openStreams takes ownership of handles.
func (p *program) openStreams(req *control.StartRequest, handles []int) (*streams, error) {
	if req.Stdio[0] == control.StdioPty {
		control.CloseAll(handles)
		return nil, fault.New(fault.Unsupported, fault.StageStdio, "stdio: terminals are not supported on this platform")
	}
	return openStreams(req.Stdio, handles, p.log(), newAllowance(req.OutputLimit, p.flood))
}

// resize serves a resize request.
func (c *client) resize(control.ResizeRequest) error {
	return fault.New(fault.State, fault.StageControl, "resize: the program has no terminal")
}
