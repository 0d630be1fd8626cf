package agent

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// Whatever bytes a guest sends beside a program that runs, the client ends, keeps no
// goroutine, and Wait returns.
func FuzzGuest(f *testing.F) {
	started := wire.Started{PID: 5}
	f.Add([]byte{})
	f.Add(append(data(1, 1, 3), closing(1, 1)...))
	f.Add(append(exited(1, 0), append(closing(1, 0), closing(1, 1)...)...))
	f.Add(append(credit(1, 0, 7), exited(1, 9)...))
	f.Add(reply(2, wire.Reply{Body: started.Append(nil)}))
	f.Add(raw(wire.Header{Kind: wire.KindLog}, []byte("line\n")))
	f.Add(data(1, 2, 40)[:20])
	f.Fuzz(func(t *testing.T, bytes []byte) {
		ours, theirs := pair(t)
		c := NewClient(ours, Options{})
		guest := &evil{t, theirs}
		null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
		require.NoError(t, err)
		in, keep, err := os.Pipe()
		require.NoError(t, err)
		p := startOn(t, c, guest, [3]*os.File{in, null})
		waited := make(chan struct{})
		go func() {
			p.Wait()
			p.Signal(15)
			close(waited)
		}()
		go c.Start(t.Context(), engine.Program{Argv: []string{"y"}})
		guest.SetWriteDeadline(time.Now().Add(time.Second))
		guest.Write(bytes)
		guest.Close()
		<-c.Done()
		require.NoError(t, c.Close())
		<-waited
		keep.Close()
	})
}
