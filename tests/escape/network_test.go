package escape

import "fmt"

var socketProbes = []probe{
	{name: "unix socket", args: func(w *world) []string { return []string{"socket_unix", w.unix, w.secret} }, deny: "connect: ENOENT"},
	{name: "abstract socket", args: func(w *world) []string { return []string{"socket_unix", w.name, w.secret} }, deny: "connect: ECONNREFUSED"},
	{name: "tcp on loopback", args: tcp("127.0.0.1", "tcp4"), deny: "connect: ECONNREFUSED"},
	{name: "tcp on another loopback address", args: tcp("127.0.0.2", "tcp"), deny: "connect: (ECONNREFUSED|ENETUNREACH)"},
	{name: "tcp on IPv6 loopback", args: tcp("::1", "tcp6"), deny: "connect: (ECONNREFUSED|EADDRNOTAVAIL|ENETUNREACH)",
		missing: func(w *world) string {
			if w.tcp["tcp6"] == 0 {
				return "IPv6"
			}
			return ""
		}},
	{name: "udp on loopback", args: func(w *world) []string {
		return []string{"socket_udp", "127.0.0.1", fmt.Sprint(w.udp), w.secret}
	}, deny: "(recv|send): (ECONNREFUSED|EAGAIN)"},
	{name: "tcp on the host's own address", args: func(w *world) []string {
		if w.address == "" {
			return nil
		}
		return tcp(w.address, "tcp")(w)
	}, deny: "connect: ENETUNREACH", missing: needsAddress},
	{name: "route to the Internet", args: fixed("socket_route", "198.51.100.1"), deny: "connect: ENETUNREACH", missing: needsAddress},
	{name: "route to a name server", args: fixed("socket_route", "203.0.113.53"), deny: "connect: ENETUNREACH", missing: needsAddress},
	{name: "raw socket", args: fixed("socket_raw"), deny: "socket: EPERM", missing: needsRoot},
	{name: "packet socket", args: fixed("socket_packet"), deny: "socket: (EPERM|EAFNOSUPPORT)", missing: needsRoot},
	{name: "interfaces", args: fixed("socket_interface"), deny: "loopback alone", missing: needsAddress},
	{name: "device events", args: fixed("socket_uevent"), deny: "(socket|bind): (EPERM|EPROTONOSUPPORT|EACCES|EOPNOTSUPP)"},
}

func tcp(host, listener string) func(*world) []string {
	return func(w *world) []string {
		return []string{"socket_tcp", host, fmt.Sprint(w.tcp[listener]), w.secret}
	}
}

func needsAddress(w *world) string {
	if w.address == "" {
		return "a network interface with an IPv4 address"
	}
	return ""
}
