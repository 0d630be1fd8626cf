package escape

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
)

// world is what a test puts on the host for the probes to find: nothing else is
// aimed at. It is gone when the test ends.
type world struct {
	t       testing.TB
	secret  string // in every file, process and answer below
	probes  string // the compiled probes, on the host
	dir     string // a directory of the test's own
	home    string // the same in the home directory, "" where there is none
	varTmp  string // the same in /var/tmp
	shm     string // a file in /dev/shm
	planted string // open in the host program without close-on-exec
	victim  victim
	unix    string // path of a listening socket
	name    string // an abstract one, with the @
	tcp     map[string]int
	udp     int
	address string // of an interface besides loopback, "" where there is none
	key     string // in the user's keyring
	shmKey  string // of a System V segment
}

type victim struct {
	pid, address, fd string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	var raw [8]byte
	_, err := rand.Read(raw[:])
	require.NoError(t, err)
	id := hex.EncodeToString(raw[:])
	w := &world{t: t, secret: "escape-" + id, probes: probes(t), dir: t.TempDir(), tcp: map[string]int{}}
	w.file(w.dir, "secret")
	w.varTmp = w.place("/var/tmp")
	if home, err := os.UserHomeDir(); err == nil {
		w.home = w.place(home)
	}
	w.shm = "/dev/shm/" + w.secret
	require.NoError(t, os.WriteFile(w.shm, []byte(w.secret), 0o666))
	t.Cleanup(func() { os.Remove(w.shm) })
	w.plant()
	setenv(t, "MSB_ESCAPE_SECRET", w.secret)
	w.listen(id)
	w.hold(id, raw)
	w.victim = startVictim(t, w.probes, w.secret)
	return w
}

// setenv sets a variable of this process for the time of the test.
func setenv(t testing.TB, name, value string) {
	t.Helper()
	require.NoError(t, os.Setenv(name, value))
	t.Cleanup(func() { os.Unsetenv(name) })
}

// file writes the secret to a file that everybody may read and write.
func (w *world) file(dir, name string) string {
	path := filepath.Join(dir, name)
	require.NoError(w.t, os.WriteFile(path, []byte(w.secret), 0o666))
	return path
}

// place makes a directory with a secret below one that exists; "" when it must not.
func (w *world) place(parent string) string {
	dir, err := os.MkdirTemp(parent, ".msb-escape-")
	if err != nil {
		return ""
	}
	w.t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(w.t, os.Chmod(dir, 0o755))
	w.file(dir, "secret")
	return dir
}

// plant leaves a descriptor open that every child inherits, as careless hosts do.
func (w *world) plant() {
	w.planted = w.file(w.dir, "planted")
	fd, err := unix.Open(w.planted, unix.O_RDWR, 0)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { unix.Close(fd) })
}

// listen starts listeners that answer with the secret.
func (w *world) listen(id string) {
	w.unix, w.name = filepath.Join(w.dir, "socket"), "@msb-escape-"+id
	for _, at := range [][2]string{{"unix", w.unix}, {"unix", w.name}, {"tcp4", "127.0.0.1:0"}, {"tcp6", "[::1]:0"}, {"tcp", ":0"}} {
		l, err := net.Listen(at[0], at[1])
		if err != nil && at[0] == "tcp6" {
			continue // this host has no IPv6
		}
		require.NoError(w.t, err)
		w.t.Cleanup(func() { l.Close() })
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			w.tcp[at[0]] = a.Port
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Write([]byte(w.secret))
				c.Close()
			}
		}()
	}
	p, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(w.t, err)
	w.t.Cleanup(func() { p.Close() })
	w.udp = p.LocalAddr().(*net.UDPAddr).Port
	go func() {
		buf := make([]byte, 64)
		for {
			_, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo([]byte(w.secret), from)
		}
	}()
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			w.address = n.IP.String()
		}
	}
}

// hold makes a key and a shared memory segment; both are removed at the end.
func (w *world) hold(id string, raw [8]byte) {
	w.key = "msb-escape-" + id
	if outside(w.probes, "keyring_add", w.key).reached() {
		w.t.Cleanup(func() { outside(w.probes, "keyring_drop", w.key) })
	}
	w.shmKey = fmt.Sprint(0x4d000000 | int(raw[0])<<16 | int(raw[1])<<8 | int(raw[2]))
	require.Contains(w.t, held(w.t, exec.Command(w.probes, "shm_hold", w.shmKey)), "reached")
}

// held starts a process that ends with its input, and returns its first line.
func held(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return line
}

func startVictim(t testing.TB, path, secret string) victim {
	t.Helper()
	cmd := exec.Command(path, "victim", secret)
	cmd.Env = []string{"SECRET=" + secret}
	fields := strings.Fields(held(t, cmd))
	require.Len(t, fields, 3)
	return victim{pid: fields[0], address: fields[1], fd: fields[2]}
}

func outcomeText(o core.Outcome) string {
	return fmt.Sprintf("cause %d, exit code %d, signal %d", o.Cause, o.ExitCode, o.Signal)
}

// childOf is a child that the host starts as most programs do: with all that is
// open and the whole environment.
func childOf(w *world) *exec.Cmd {
	return exec.Command(w.probes, "victim", "another text")
}
