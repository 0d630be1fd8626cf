package gvisor

import "github.com/libmicrosandbox/microsandbox/core/fault"

func hostRoot(p paths, ids idMap) (*rootFS, error) {
	return nil, fault.New(fault.Unsupported, fault.StageRoot, "host root")
}
