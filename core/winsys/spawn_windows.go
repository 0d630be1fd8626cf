package winsys

import (
	"errors"
	"os"
	"slices"
	"sync"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Command is a process to be started.
type Command struct {
	Path  string   // of the executable
	Args  []string // its name first
	Env   []string // NAME=VALUE, all of it
	Dir   string   // "" = the caller's
	Stdio [3]windows.Handle
	// Handles are inherited besides, under their own numbers. Nothing else is.
	Handles []windows.Handle
	Jobs    []*Job        // each holds the next
	Token   windows.Token // 0 = the caller's
	Flags   uint32        // of CreateProcess, more
}

// spawning serialises the moments in which handles are inheritable.
var spawning sync.Mutex

// Spawn starts a process that is in its jobs before its first instruction. It inherits
// the handles that the command names and no other; a program of the host that starts
// a process in the same moment, and lets it inherit all, may pass on those as well.
func Spawn(c Command) (process windows.Handle, pid int, err error) {
	info, err := c.create()
	if err != nil {
		return 0, 0, err
	}
	defer windows.CloseHandle(info.Thread)
	for _, job := range c.Jobs {
		if err = job.Assign(info.Process); err != nil {
			break
		}
	}
	if err == nil {
		_, err = windows.ResumeThread(info.Thread)
		err = os.NewSyscallError("ResumeThread", err)
	}
	if err != nil {
		windows.TerminateProcess(info.Process, 1)
		windows.CloseHandle(info.Process)
		return 0, 0, err
	}
	return info.Process, int(info.ProcessId), nil
}

func (c Command) create() (info windows.ProcessInformation, err error) {
	path, err := windows.UTF16PtrFromString(c.Path)
	if err != nil {
		return info, err
	}
	line, err := windows.UTF16PtrFromString(windows.ComposeCommandLine(c.Args))
	if err != nil {
		return info, err
	}
	env, err := environmentBlock(c.Env)
	if err != nil {
		return info, err
	}
	var dir *uint16
	if c.Dir != "" {
		if dir, err = windows.UTF16PtrFromString(c.Dir); err != nil {
			return info, err
		}
	}
	inherited := slices.Clone(c.Handles)
	for _, h := range c.Stdio {
		if !slices.Contains(inherited, h) { // the list must not name one twice
			inherited = append(inherited, h)
		}
	}
	attributes, err := windows.NewProcThreadAttributeList(1)
	if err != nil {
		return info, os.NewSyscallError("InitializeProcThreadAttributeList", err)
	}
	defer attributes.Delete()
	if err := attributes.Update(windows.PROC_THREAD_ATTRIBUTE_HANDLE_LIST, unsafe.Pointer(&inherited[0]),
		uintptr(len(inherited))*unsafe.Sizeof(inherited[0])); err != nil {
		return info, os.NewSyscallError("UpdateProcThreadAttribute", err)
	}
	start := windows.StartupInfoEx{ProcThreadAttributeList: attributes.List()}
	start.Cb = uint32(unsafe.Sizeof(start))
	start.Flags = windows.STARTF_USESTDHANDLES // else it would get the console's, or the caller's
	start.StdInput, start.StdOutput, start.StdErr = c.Stdio[0], c.Stdio[1], c.Stdio[2]
	flags := c.Flags | windows.CREATE_SUSPENDED | windows.CREATE_UNICODE_ENVIRONMENT | windows.EXTENDED_STARTUPINFO_PRESENT

	spawning.Lock()
	defer spawning.Unlock()
	defer inheritable(inherited, 0)
	if err := inheritable(inherited, windows.HANDLE_FLAG_INHERIT); err != nil {
		return info, err
	}
	if c.Token != 0 {
		err = windows.CreateProcessAsUser(c.Token, path, line, nil, nil, true, flags, env, dir, &start.StartupInfo, &info)
	} else {
		err = windows.CreateProcess(path, line, nil, nil, true, flags, env, dir, &start.StartupInfo, &info)
	}
	return info, os.NewSyscallError("CreateProcess", err)
}

// inheritable sets or clears the flag of handles.
func inheritable(handles []windows.Handle, flag uint32) error {
	var all error
	for _, h := range handles {
		all = errors.Join(all, os.NewSyscallError("SetHandleInformation", windows.SetHandleInformation(h, windows.HANDLE_FLAG_INHERIT, flag)))
	}
	return all
}

// environmentBlock is an environment as CreateProcess takes it.
func environmentBlock(env []string) (*uint16, error) {
	var block []uint16
	for _, e := range env {
		text, err := windows.UTF16FromString(e) // with its NUL
		if err != nil {
			return nil, err
		}
		block = append(block, text...)
	}
	if len(block) == 0 {
		block = utf16.Encode([]rune{0})
	}
	block = append(block, 0)
	return &block[0], nil
}

// SystemEnv are the variables without which system libraries fail to load.
func SystemEnv() []string {
	dir, err := windows.GetSystemWindowsDirectory()
	if err != nil {
		dir = `C:\Windows`
	}
	return []string{"SystemRoot=" + dir, "windir=" + dir, "SystemDrive=" + dir[:2]}
}

// OpenNull opens the null device.
func OpenNull() (*os.File, error) {
	return Open("NUL", windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, windows.OPEN_EXISTING, 0, nil)
}
