package metrics

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// openShared opens a registry file for reading and writing. Others may rename and
// delete it meanwhile, as os.OpenFile would not let them.
func openShared(path string, create bool) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	sa, err := winsys.Private(false)
	if err != nil {
		return nil, err
	}
	disposition := uint32(windows.OPEN_EXISTING)
	if create {
		disposition = windows.OPEN_ALWAYS
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, share, sa, disposition,
		windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// restrict does nothing: the file was made with a list of those who may use it.
func (f *file) restrict() error { return nil }

// moveTo gives the file its place.
func (f *file) moveTo(path string) error { return os.Rename(f.path, path) }

// current reports whether the file still is the one at its path.
func (f *file) current() (bool, error) {
	mine, err := f.information()
	if err != nil {
		return false, err
	}
	there, err := openShared(f.path, false)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, failed(err, f.path)
	}
	other := file{File: there, path: f.path}
	defer other.Close()
	now, err := other.information()
	return err == nil && mine.VolumeSerialNumber == now.VolumeSerialNumber &&
		mine.FileIndexHigh == now.FileIndexHigh && mine.FileIndexLow == now.FileIndexLow, err
}

func (f *file) information() (info windows.ByHandleFileInformation, err error) {
	if err = f.control(func(fd uintptr) error { return windows.GetFileInformationByHandle(windows.Handle(fd), &info) }); err != nil {
		err = failed(err, f.path)
	}
	return info, err
}

// stat trusts the state directory, which is the user's alone, for who may use it.
func (f *file) stat() (status, error) {
	info, err := f.information()
	if err != nil {
		return status{}, err
	}
	const special = windows.FILE_ATTRIBUTE_DIRECTORY | windows.FILE_ATTRIBUTE_REPARSE_POINT
	return status{
		regular: info.FileAttributes&special == 0, own: true, private: true,
		links: uint64(info.NumberOfLinks), size: sizeOf(&info),
	}, nil
}

func sizeOf(info *windows.ByHandleFileInformation) int64 {
	return int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow)
}

func (f *file) size() (int64, error) {
	info, err := f.information()
	return sizeOf(&info), err
}

// lockAt is where in the file the lock lies: far behind its end, since such a lock
// also keeps others from reading.
const lockAt = 1 << 30

// tryLock takes the lock unless somebody else has it.
func (f *file) tryLock() (bool, error) {
	err := f.control(func(fd uintptr) error {
		at := windows.Overlapped{Offset: lockAt}
		const how = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
		return windows.LockFileEx(windows.Handle(fd), how, 0, 1, 0, &at)
	})
	if err == windows.ERROR_LOCK_VIOLATION || err == windows.ERROR_IO_PENDING {
		return false, nil
	}
	return err == nil, err
}

// unlock gives the lock back.
func (f *file) unlock() {
	f.control(func(fd uintptr) error {
		at := windows.Overlapped{Offset: lockAt}
		return windows.UnlockFileEx(windows.Handle(fd), 0, 1, 0, &at)
	})
	f.mu.Unlock()
}

// writable is about a limit that does not exist here.
func writable(string, int64) error { return nil }

// mapUnit is what offsets of mappings are multiples of: the allocation granularity,
// which is 64 KiB on all machines.
func mapUnit() int64 { return 64 << 10 }

// mapShared maps a part of the file. Of a file on a local disk views and reads show
// the same bytes.
func mapShared(fd uintptr, offset int64, length int) ([]byte, error) {
	mapping, err := windows.CreateFileMapping(windows.Handle(fd), nil, windows.PAGE_READWRITE, 0, 0, nil)
	if err != nil {
		return nil, os.NewSyscallError("CreateFileMapping", err)
	}
	defer windows.CloseHandle(mapping) // the view keeps it
	at, err := windows.MapViewOfFile(mapping, windows.FILE_MAP_READ|windows.FILE_MAP_WRITE,
		uint32(offset>>32), uint32(offset), uintptr(length))
	if err != nil {
		return nil, os.NewSyscallError("MapViewOfFile", err)
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), length), nil
}

func unmapShared(mapped []byte) {
	windows.UnmapViewOfFile(uintptr(unsafe.Pointer(unsafe.SliceData(mapped))))
}

// monotonic is the host's clock that is never set.
func monotonic() (time.Duration, error) { return windows.DurationSinceBoot(), nil }
