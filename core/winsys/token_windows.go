package winsys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	advapi32              = windows.NewLazySystemDLL("advapi32.dll")
	createRestrictedToken = advapi32.NewProc("CreateRestrictedToken")
)

// RestrictedToken is the caller's token without privileges but that to enter
// directories, and with the administrators' group for denying only.
func RestrictedToken() (windows.Token, error) {
	var own windows.Token
	const rights = windows.TOKEN_DUPLICATE | windows.TOKEN_QUERY | windows.TOKEN_ASSIGN_PRIMARY | windows.TOKEN_ADJUST_DEFAULT
	if err := windows.OpenProcessToken(windows.CurrentProcess(), rights, &own); err != nil {
		return 0, os.NewSyscallError("OpenProcessToken", err)
	}
	defer own.Close()
	administrators, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		return 0, os.NewSyscallError("CreateWellKnownSid", err)
	}
	return restrict(own, administrators)
}

// restrict makes a token with fewer rights; denied may only be used to deny.
func restrict(own windows.Token, denied *windows.SID) (windows.Token, error) {
	const disableMaxPrivilege = 0x1
	sids := []windows.SIDAndAttributes{{Sid: denied}}
	var token windows.Token
	ok, _, err := createRestrictedToken.Call(uintptr(own), disableMaxPrivilege, uintptr(len(sids)),
		uintptr(unsafe.Pointer(&sids[0])), 0, 0, 0, 0, uintptr(unsafe.Pointer(&token)))
	if ok == 0 {
		return 0, os.NewSyscallError("CreateRestrictedToken", err)
	}
	return token, nil
}
