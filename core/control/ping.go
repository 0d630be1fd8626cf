package control

import (
	"context"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/dir"
)

// Ping reports whether the supervisor of a sandbox's directory answers within a time.
func Ping(d dir.Ref, timeout time.Duration) bool {
	conn, _, err := Dial(d)
	if err != nil {
		return false
	}
	client := NewClient(conn, func(*Message) {})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return client.Call(ctx, Info, nil, nil) == nil
}
