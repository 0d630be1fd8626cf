package launch

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/control"
)

// Handover is what a supervisor is started with, as JSON in an anonymous mapping that
// it inherits: it never touches a disk or a command line.
type Handover struct {
	Config control.Config `json:"config"`
	Pipe   string         `json:"pipe"` // of the owner's connection, which it dials
	Job    string         `json:"job"`  // whose kill-on-close it clears to live on
}

// Inherited are the numbers of the handles that a supervisor inherits besides its
// standard ones. They stand on its command line, which is no secret.
type Inherited struct {
	Config   windows.Handle // a mapping with the length, u64 little-endian, and a Handover
	Watchdog windows.Handle // read end of a pipe whose end of file means: the owner is gone
}

const handlesFlag = "--handles="

func (i Inherited) argument() string {
	return fmt.Sprintf("%s%d,%d", handlesFlag, i.Config, i.Watchdog)
}

// ParseInherited finds them on the command line.
func ParseInherited(args []string) (Inherited, error) {
	for _, arg := range args {
		text, ok := strings.CutPrefix(arg, handlesFlag)
		if !ok {
			continue
		}
		config, watchdog, _ := strings.Cut(text, ",")
		c, err := strconv.ParseUint(config, 10, 32) // handles have 32 significant bits
		if err != nil {
			return Inherited{}, err
		}
		w, err := strconv.ParseUint(watchdog, 10, 32)
		return Inherited{windows.Handle(c), windows.Handle(w)}, err
	}
	return Inherited{}, fmt.Errorf("no %s: this command is for the library only, see msb help", handlesFlag)
}

const lengthBytes = 8

// newMapping returns a read-only handle of an anonymous mapping that holds data.
func newMapping(data []byte) (windows.Handle, error) {
	size := lengthBytes + len(data)
	h, err := windows.CreateFileMapping(windows.InvalidHandle, nil, windows.PAGE_READWRITE, 0, uint32(size), nil)
	if err != nil {
		return 0, os.NewSyscallError("CreateFileMapping", err)
	}
	defer windows.CloseHandle(h)
	view, err := windows.MapViewOfFile(h, windows.FILE_MAP_WRITE, 0, 0, uintptr(size))
	if err != nil {
		return 0, os.NewSyscallError("MapViewOfFile", err)
	}
	to := unsafe.Slice(*(**byte)(unsafe.Pointer(&view)), size)
	binary.LittleEndian.PutUint64(to, uint64(len(data)))
	copy(to[lengthBytes:], data)
	windows.UnmapViewOfFile(view)
	var readOnly windows.Handle
	self := windows.CurrentProcess()
	err = windows.DuplicateHandle(self, h, self, &readOnly, windows.FILE_MAP_READ, false, 0)
	return readOnly, os.NewSyscallError("DuplicateHandle", err)
}

// ReadHandover reads and closes the mapping.
func ReadHandover(mapping windows.Handle) (Handover, error) {
	var out Handover
	defer windows.CloseHandle(mapping)
	view, err := windows.MapViewOfFile(mapping, windows.FILE_MAP_READ, 0, 0, 0)
	if err != nil {
		return out, os.NewSyscallError("MapViewOfFile", err)
	}
	defer windows.UnmapViewOfFile(view)
	var info windows.MemoryBasicInformation
	if err := windows.VirtualQuery(view, &info, unsafe.Sizeof(info)); err != nil {
		return out, os.NewSyscallError("VirtualQuery", err)
	}
	from := unsafe.Slice(*(**byte)(unsafe.Pointer(&view)), info.RegionSize)
	if len(from) < lengthBytes {
		return out, fmt.Errorf("the configuration has %d bytes", len(from))
	}
	size := binary.LittleEndian.Uint64(from)
	if size > control.MaxMessage || size > uint64(len(from)-lengthBytes) {
		return out, fmt.Errorf("the configuration of %d bytes is in %d", size, len(from))
	}
	err = json.Unmarshal(from[lengthBytes:lengthBytes+size], &out)
	if err == nil && out.Config.Protocol != control.Protocol {
		err = fmt.Errorf("configuration of protocol %d, this msb speaks %d", out.Config.Protocol, control.Protocol)
	}
	return out, err
}
