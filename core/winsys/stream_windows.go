package winsys

import (
	"crypto/rand"
	"encoding/hex"
	"os"

	"golang.org/x/sys/windows"
)

const streamBuffer = 64 << 10 // bytes

// Stream makes a pipe of which our end does not hold a thread while it waits: read
// says whether ours is the end that reads. Theirs is for a process that knows nothing
// of overlapped I/O, unless overlapped.
func Stream(read, overlapped bool) (ours *os.File, theirs windows.Handle, err error) {
	server, theirs, err := stream(direction(read), overlapped)
	if err != nil {
		return nil, 0, err
	}
	return os.NewFile(uintptr(server), "stream"), theirs, nil
}

// RawStream is a Stream for overlapped calls of the caller's own. To read from the end
// that writes tells that the other was closed, which is how event loops notice it.
func RawStream(read bool) (ours, theirs windows.Handle, err error) {
	if read {
		return stream(inbound, false)
	}
	return stream(duplex, false)
}

// Duplex is a Stream that we write, and whose other end's closing we notice by reading.
func Duplex(overlapped bool) (ours *os.File, theirs windows.Handle, err error) {
	server, theirs, err := stream(duplex, overlapped)
	if err != nil {
		return nil, 0, err
	}
	return os.NewFile(uintptr(server), "stream"), theirs, nil
}

// The modes of our end.
const (
	inbound  = windows.PIPE_ACCESS_INBOUND
	outbound = windows.PIPE_ACCESS_OUTBOUND
	duplex   = windows.PIPE_ACCESS_DUPLEX
)

func direction(read bool) uint32 {
	if read {
		return inbound
	}
	return outbound
}

func stream(mode uint32, overlapped bool) (server, theirs windows.Handle, err error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return 0, 0, err
	}
	name, err := windows.UTF16PtrFromString(`\\.\pipe\msb-stream-` + hex.EncodeToString(id[:]))
	if err != nil {
		return 0, 0, err
	}
	sa, err := Private(false)
	if err != nil {
		return 0, 0, err
	}
	access := uint32(windows.GENERIC_READ)
	if mode == inbound {
		access = windows.GENERIC_WRITE
	}
	mode |= windows.FILE_FLAG_OVERLAPPED | windows.FILE_FLAG_FIRST_PIPE_INSTANCE
	const how = windows.PIPE_TYPE_BYTE | windows.PIPE_READMODE_BYTE | windows.PIPE_WAIT | windows.PIPE_REJECT_REMOTE_CLIENTS
	server, err = windows.CreateNamedPipe(name, mode, how, 1, streamBuffer, streamBuffer, 0, sa)
	if err != nil {
		return 0, 0, os.NewSyscallError("CreateNamedPipe", err)
	}
	flags := uint32(windows.SECURITY_SQOS_PRESENT | windows.SECURITY_ANONYMOUS)
	if overlapped {
		flags |= windows.FILE_FLAG_OVERLAPPED
	}
	theirs, err = windows.CreateFile(name, access|windows.FILE_READ_ATTRIBUTES|windows.FILE_WRITE_ATTRIBUTES, 0, nil, windows.OPEN_EXISTING, flags, 0)
	if err != nil {
		windows.CloseHandle(server)
		return 0, 0, os.NewSyscallError("CreateFile", err)
	}
	return server, theirs, nil
}
