package winsys

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

// User is the security identifier of the process's user.
var User = sync.OnceValues(func() (*windows.SID, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, os.NewSyscallError("GetTokenInformation", err)
	}
	return user.User.Sid, nil
})

// Private returns attributes that let the user and the system use an object, and
// what is made in it, and nobody else. inherit makes its handle inheritable.
func Private(inherit bool) (*windows.SecurityAttributes, error) {
	user, err := User()
	if err != nil {
		return nil, err
	}
	descriptor, err := windows.SecurityDescriptorFromString(fmt.Sprintf("D:P(A;OICI;GA;;;%s)(A;OICI;GA;;;SY)", user))
	if err != nil {
		return nil, os.NewSyscallError("ConvertStringSecurityDescriptorToSecurityDescriptor", err)
	}
	sa := &windows.SecurityAttributes{SecurityDescriptor: descriptor}
	sa.Length = uint32(unsafe.Sizeof(*sa))
	if inherit {
		sa.InheritHandle = 1
	}
	return sa, nil
}

// MakePrivateDir makes a directory that only the user can enter, and those above it
// that are missing. One that is there stays as it is.
func MakePrivateDir(path string) error {
	sa, err := Private(false)
	if err != nil {
		return err
	}
	return makeDir(path, sa)
}

func makeDir(path string, sa *windows.SecurityAttributes) error {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return nil
	}
	if parent := parentDir(path); parent != "" {
		if err := makeDir(parent, sa); err != nil {
			return err
		}
	}
	name, err := windows.UTF16PtrFromString(path)
	if err == nil {
		err = windows.CreateDirectory(name, sa)
	}
	if err != nil && err != windows.ERROR_ALREADY_EXISTS {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

// parentDir is the directory above a path; "" for a volume's root.
func parentDir(path string) string {
	end := len(path)
	for end > 0 && !os.IsPathSeparator(path[end-1]) {
		end--
	}
	for end > 0 && os.IsPathSeparator(path[end-1]) {
		end--
	}
	if end <= 2 {
		return ""
	}
	return path[:end]
}

// OwnedByUser reports whether an open file belongs to the user, to the
// administrators or to the system, and else to whom.
func OwnedByUser(file *os.File) (bool, string, error) {
	descriptor, err := windows.GetSecurityInfo(windows.Handle(file.Fd()), windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return false, "", os.NewSyscallError("GetSecurityInfo", err)
	}
	owner, _, err := descriptor.Owner()
	if err != nil {
		return false, "", os.NewSyscallError("GetSecurityDescriptorOwner", err)
	}
	user, err := User()
	if err != nil {
		return false, "", err
	}
	own := owner.Equals(user) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) || owner.IsWellKnown(windows.WinLocalSystemSid)
	return own, owner.String(), nil
}
