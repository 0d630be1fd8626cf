package control

import (
	"context"
	"time"
)

// Ping reports whether the supervisor behind the socket in dirfd answers within
// a time.
func Ping(dirfd int, timeout time.Duration) bool {
	conn, _, err := Dial(dirfd)
	if err != nil {
		return false
	}
	client := NewClient(conn, func(*Message) {})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return client.Call(ctx, Info, nil, nil) == nil
}
