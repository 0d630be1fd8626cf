package sentry

import "golang.org/x/sys/unix"

// oldWaits are those of waits that newer processors' Linux has not.
var oldWaits = []uintptr{unix.SYS_POLL, unix.SYS_SELECT, unix.SYS_PAUSE, unix.SYS_EPOLL_WAIT}
