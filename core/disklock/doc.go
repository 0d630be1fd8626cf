// Package disklock keeps two sandboxes from using a disk image in ways that
// destroy it: any number may read it, or one may write to it.
//
// The lock is flock(2) on the image file itself. Such a lock belongs to the open
// file description, not to a process or a descriptor number:
//
//   - A descriptor that dup, fork or SCM_RIGHTS made shares it. It ends when the
//     last of them is closed, by death too; no clean-up can be forgotten.
//   - To close one of several descriptors releases nothing. So the host program
//     may close its own once the supervisor has received one.
//   - Every opening of the file is a contender of its own, in the same process
//     too. (The older locks of fcntl(2) belong to the process, and are lost as
//     soon as it closes any descriptor of the file. Its F_OFD_* locks live as
//     flock's do, but /proc/locks says of none who took it.)
//
// A lock must live exactly as long as the supervisor. There are two ways:
//
//	Open in the host, LockFile in the supervisor   the better one: the host program
//	                                               never holds the lock, so a copy of
//	                                               its descriptors made by fork cannot
//	                                               keep it
//	Lock in the host, Adopt in the supervisor      the host learns of a conflict before
//	                                               it starts anything; it closes its own
//	                                               descriptor when the supervisor has one
//
// Descriptors are close-on-exec from birth. They are handed over explicitly.
//
// Who holds a lock is asked of the kernel when a conflict arises, and kept
// nowhere: /proc/PID/fdinfo shows for each descriptor the lock of its open file
// description. That is true for several holders of a shared lock, for what
// inherited a descriptor, and can never be stale. What belongs to another user
// cannot be looked into; then /proc/locks still says who took the lock.
//
// These locks are advice: programs that do not ask, or ask in another way (qemu
// uses F_OFD_*), are not kept off.
package disklock

// Mode says who else may hold a lock on the image.
type Mode int

// The modes.
const (
	Shared    Mode = iota // for reading: with others that read
	Exclusive             // for reading and writing: alone
)

func (m Mode) String() string {
	if m == Exclusive {
		return "exclusive (read-write)"
	}
	return "shared (read-only)"
}

// Names returns the name of the sandbox whose supervisor has this process id,
// or "". It is called while a conflict is described; nil knows no names.
type Names func(pid int) string
