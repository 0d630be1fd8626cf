/* Sockets of the host: the test listens and answers with a text. */
#include "probe.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/un.h>

/* greet connects and waits for the text. */
static int greet(int type, const struct sockaddr *to, socklen_t size, const char *text)
{
	char buffer[64] = "";
	struct timeval limit = { 2, 0 };
	int fd = socket(to->sa_family, type, 0);
	if (fd < 0)
		return denied("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, to, size))
		return denied("connect");
	if (type == SOCK_DGRAM && send(fd, "hello", 5, 0) < 0)
		return denied("send");
	if (recv(fd, buffer, sizeof buffer - 1, 0) < 0)
		return denied("recv");
	errno = 0;
	return strcmp(buffer, text) ? denied("another answer") : reached("%s", buffer);
}

/* socket_unix PATH TEXT: "@name" is an abstract one. */
PROBE(socket_unix)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const char *path = arg(argc, argv, 1);
	if (strlen(path) >= sizeof a.sun_path)
		return 2;
	strcpy(a.sun_path, path);
	if (path[0] == '@')
		a.sun_path[0] = 0;
	return greet(SOCK_STREAM, (struct sockaddr *)&a,
	             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)), arg(argc, argv, 2));
}

static int inet(int argc, char **argv, int type)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)number(argc, argv, 2)) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = a4.sin_port };
	const char *host = arg(argc, argv, 1), *text = arg(argc, argv, 3);
	if (inet_pton(AF_INET, host, &a4.sin_addr) == 1)
		return greet(type, (struct sockaddr *)&a4, sizeof a4, text);
	if (inet_pton(AF_INET6, host, &a6.sin6_addr) == 1)
		return greet(type, (struct sockaddr *)&a6, sizeof a6, text);
	return 2;
}

/* socket_tcp ADDRESS PORT TEXT, socket_udp ADDRESS PORT TEXT */
PROBE(socket_tcp) { return inet(argc, argv, SOCK_STREAM); }
PROBE(socket_udp) { return inet(argc, argv, SOCK_DGRAM); }

/* socket_serve @NAME|ADDRESS:PORT TEXT: answers each connection until the end of input. */
PROBE(socket_serve)
{
	struct sockaddr_un u = { .sun_family = AF_UNIX };
	struct sockaddr_in a = { .sin_family = AF_INET };
	const char *at = arg(argc, argv, 1), *text = arg(argc, argv, 2), *colon = strchr(at, ':');
	char host[INET_ADDRSTRLEN] = "";
	int fd, failed;
	if (colon) {
		memcpy(host, at, (size_t)(colon - at) % sizeof host);
		a.sin_port = htons((uint16_t)atoi(colon + 1));
		inet_pton(AF_INET, host, &a.sin_addr);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		failed = bind(fd, (struct sockaddr *)&a, sizeof a);
	} else {
		strncpy(u.sun_path + 1, at + 1, sizeof u.sun_path - 2);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		failed = bind(fd, (struct sockaddr *)&u, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(at)));
	}
	if (failed || listen(fd, 8))
		return denied("bind");
	reached("listening");
	for (;;) {
		char c;
		struct pollfd p[2] = { { 0, POLLIN, 0 }, { fd, POLLIN, 0 } };
		poll(p, 2, -1);
		if (p[0].revents && read(0, &c, 1) <= 0)
			return 0;
		if (p[1].revents) {
			int peer = accept(fd, 0, 0);
			if (write(peer, text, strlen(text)) < 0)
				return 2;
			close(peer);
		}
	}
}

/* socket_route ADDRESS: is there a way to it? Sends nothing. */
PROBE(socket_route)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(53) };
	if (inet_pton(AF_INET, arg(argc, argv, 1), &a.sin_addr) != 1)
		return 2;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0)
		return denied("socket");
	if (connect(fd, (struct sockaddr *)&a, sizeof a))
		return denied("connect");
	return reached("there is a route");
}

/* socket_raw, socket_packet: see and forge what others send. */
PROBE(socket_raw)
{
	return socket(AF_INET, SOCK_RAW, IPPROTO_TCP) < 0 ? denied("socket") : reached("a raw socket");
}

PROBE(socket_packet)
{
	return socket(AF_PACKET, SOCK_RAW, htons(3)) < 0 ? denied("socket") : reached("a packet socket");
}

/* socket_interface: an interface besides loopback. */
PROBE(socket_interface)
{
	struct if_nameindex *all = if_nameindex();
	if (!all)
		return denied("if_nameindex");
	for (struct if_nameindex *i = all; i->if_index; i++)
		if (strcmp(i->if_name, "lo"))
			return reached("%s", i->if_name);
	errno = 0;
	return denied("loopback alone");
}

/* socket_uevent: what the kernel says of devices; joining the group is enough. */
PROBE(socket_uevent)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
	if (fd < 0)
		return denied("socket");
	return bind(fd, (struct sockaddr *)&a, sizeof a) ? denied("bind") : reached("messages of the kernel");
}
