package gvisor

import "net"

// What the sentry's control server is called with: gVisor's own types have the same
// names and JSON, but would bring all of gVisor into the supervisor. A test compares.

// Methods of the control server.
const (
	methodExecute  = "containerManager.ExecuteAsync"
	methodWait     = "containerManager.WaitPID"
	methodSignal   = "containerManager.Signal"
	methodList     = "containerManager.Processes"
	methodEvent    = "containerManager.Event"
	methodNetwork  = "containerManager.SetNetworkArgs"
	methodStart    = "containerManager.StartRoot"
	methodUsage    = "Usage.Collect"
	methodUsageFDs = "Usage.UsageFD"
)

// execArgs ask for a program.
type execArgs struct {
	Filename         string   `json:"filename"`
	Argv             []string `json:"argv"`
	Envv             []string `json:"envv"`
	WorkingDirectory string   `json:"wd"`
	KUID, KGID       uint32
	ExtraKGIDs       []uint32
	Capabilities     *taskCapabilities
	StdioIsPty       bool
	GuestFDs         []int
	ContainerID      string
}

// taskCapabilities are sets of capabilities, bit by bit.
type taskCapabilities struct {
	PermittedCaps, InheritableCaps, EffectiveCaps, BoundingCaps, AmbientCaps uint64
}

// capabilityNumbers are Linux's, of the capabilities that guests can have.
var capabilityNumbers = map[string]uint{
	"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_KILL": 5, "CAP_SETGID": 6,
	"CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_NET_BIND_SERVICE": 10, "CAP_SYS_CHROOT": 18, "CAP_SETFCAP": 31,
}

func guestCapabilities() *taskCapabilities {
	var set uint64
	for _, name := range guestCaps {
		set |= 1 << capabilityNumbers[name]
	}
	return &taskCapabilities{PermittedCaps: set, EffectiveCaps: set, BoundingCaps: set}
}

type waitArgs struct {
	PID int32
	CID string
}

type signalArgs struct {
	CID   string
	Signo int32
	PID   int32
	Mode  int
}

// To whom a signal goes.
const (
	toProcess    = 0
	toAll        = 1
	toForeground = 2
)

type listedProcess struct {
	PID int32 `json:"pid"`
}

// networkArgs are the guest's interfaces: loopback alone.
type networkArgs struct {
	LoopbackLinks []loopbackLink
}

type loopbackLink struct {
	Name      string
	Addresses []address
	Routes    []route
	GVisorGRO bool
}

type address struct {
	Address   net.IP
	PrefixLen int
}

type route struct {
	Destination net.IPNet
	Gateway     net.IP
	MTU         uint32
}

func loopback() networkArgs {
	return networkArgs{LoopbackLinks: []loopbackLink{{
		Name: "lo",
		Addresses: []address{
			{net.IP{127, 0, 0, 1}, 8},
			{net.IPv6loopback, 128},
		},
		Routes: []route{
			{Destination: net.IPNet{IP: net.IPv4(127, 0, 0, 0), Mask: net.CIDRMask(8, 32)}},
			{Destination: net.IPNet{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)}},
		},
	}}}
}

// eventOut is of a container's figures what is used here.
type eventOut struct {
	Event struct {
		Data struct {
			NetworkInterfaces []struct {
				Name             string
				RxBytes, TxBytes uint64
			} `json:"network_interfaces"`
		} `json:"data"`
	} `json:"event"`
	ContainerUsage map[string]uint64 `json:"containerUsage"`
}

type memoryUsageArgs struct{ Full bool }

type memoryUsage struct{ Tmpfs uint64 }

type usageFileArgs struct{ Version uint64 }
