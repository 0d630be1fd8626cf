package winsys

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	kernel32       = windows.NewLazySystemDLL("kernel32.dll")
	openJobObject  = kernel32.NewProc("OpenJobObjectW")
	isProcessInJob = kernel32.NewProc("IsProcessInJob")
)

// Job is a job object: processes with all that they start, to be limited, counted
// and ended as one. Safe for concurrent use.
type Job struct {
	mu     sync.Mutex
	handle windows.Handle // 0 once closed
}

// Limits are what a job may use. Zero is no limit.
type Limits struct {
	KillOnClose bool   // its processes end with its last handle
	MemoryBytes uint64 // committed, of all processes together
	Processes   uint32 // that run at once
	CPUTime     uint64 // of each process, in steps of 100 ns
}

// JobName is a name for a job that nobody can guess.
func JobName() (string, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	return `Local\msb-` + hex.EncodeToString(id[:]), nil
}

// NewJob makes a job, without a name when that is "". Only the user can open it.
func NewJob(name string, limits Limits) (*Job, error) {
	sa, err := Private(false)
	if err != nil {
		return nil, err
	}
	var text *uint16
	if name != "" {
		if text, err = windows.UTF16PtrFromString(name); err != nil {
			return nil, err
		}
	}
	h, err := windows.CreateJobObject(sa, text)
	if err != nil {
		return nil, os.NewSyscallError("CreateJobObject", err)
	}
	j := &Job{handle: h}
	if err := j.SetLimits(limits); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

// OpenJob opens an existing job, to change its limits.
func OpenJob(name string) (*Job, error) {
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	const setAttributes, query = 0x2, 0x4
	h, _, err := openJobObject.Call(setAttributes|query, 0, uintptr(unsafe.Pointer(text)))
	if h == 0 {
		return nil, os.NewSyscallError("OpenJobObject", err)
	}
	return &Job{handle: windows.Handle(h)}, nil
}

// with runs a call on the open handle.
func (j *Job) with(name string, call func(h windows.Handle) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.handle == 0 {
		return os.ErrClosed
	}
	return os.NewSyscallError(name, call(j.handle))
}

// SetLimits replaces all limits.
func (j *Job) SetLimits(l Limits) error {
	var info windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	basic := &info.BasicLimitInformation
	basic.LimitFlags = windows.JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION
	if l.KillOnClose {
		basic.LimitFlags |= windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	}
	if l.MemoryBytes > 0 {
		basic.LimitFlags |= windows.JOB_OBJECT_LIMIT_JOB_MEMORY
		info.JobMemoryLimit = uintptr(l.MemoryBytes)
	}
	if l.Processes > 0 {
		basic.LimitFlags |= windows.JOB_OBJECT_LIMIT_ACTIVE_PROCESS
		basic.ActiveProcessLimit = l.Processes
	}
	if l.CPUTime > 0 {
		basic.LimitFlags |= windows.JOB_OBJECT_LIMIT_PROCESS_TIME
		basic.PerProcessUserTimeLimit = int64(l.CPUTime)
	}
	return j.with("SetInformationJobObject", func(h windows.Handle) error {
		_, err := windows.SetInformationJobObject(h, windows.JobObjectExtendedLimitInformation,
			uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
		return err
	})
}

// LimitCPU bounds the processor time that the job gets while it runs, in thousandths of
// one processor.
func (j *Job) LimitCPU(permille uint32) error {
	const enable, hardCap = 0x1, 0x4
	info := struct{ flags, rate uint32 }{enable | hardCap, 0}
	// The rate is in hundredths of a percent of all processors.
	all := uint64(runtime.NumCPU()) * 1000
	info.rate = uint32(max(min(uint64(permille)*10000/all, 10000), 1))
	return j.with("SetInformationJobObject", func(h windows.Handle) error {
		_, err := windows.SetInformationJobObject(h, windows.JobObjectCpuRateControlInformation,
			uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
		return err
	})
}

// Assign puts a process into the job. One that is in a job already must be in one
// that holds this one, or is empty otherwise.
func (j *Job) Assign(process windows.Handle) error {
	return j.with("AssignProcessToJobObject", func(h windows.Handle) error { return windows.AssignProcessToJobObject(h, process) })
}

// Has reports whether a process is in the job.
func (j *Job) Has(process windows.Handle) (in bool, err error) {
	err = j.with("IsProcessInJob", func(h windows.Handle) error {
		var result int32
		ok, _, err := isProcessInJob.Call(uintptr(process), uintptr(h), uintptr(unsafe.Pointer(&result)))
		in = result != 0
		if ok == 0 {
			return err
		}
		return nil
	})
	return in, err
}

// Terminate ends all processes of the job, and of the jobs in it.
func (j *Job) Terminate(code uint32) error {
	return j.with("TerminateJobObject", func(h windows.Handle) error { return windows.TerminateJobObject(h, code) })
}

// Usage is what the processes of a job have used, those that have ended too.
type Usage struct {
	CPUTime         time.Duration
	Active          uint32 // processes that run
	PeakMemoryBytes uint64 // largest commitment of all together
	PeakProcess     uint64 // largest commitment of one
	ReadBytes       uint64
	WrittenBytes    uint64
	DiskKnown       bool // ReadBytes and WrittenBytes are
}

// JOBOBJECT_BASIC_ACCOUNTING_INFORMATION.
type accounting struct {
	userTime, kernelTime             int64 // in steps of 100 ns
	periodUser, periodKernel         int64
	faults, total, active, terminate uint32
}

// Active is how many processes of the job run.
func (j *Job) Active() (uint32, error) {
	a, err := j.accounting()
	return a.active, err
}

func (j *Job) accounting() (a accounting, err error) {
	err = j.query(windows.JobObjectBasicAccountingInformation, unsafe.Pointer(&a), unsafe.Sizeof(a))
	return a, err
}

func (j *Job) query(class int32, to unsafe.Pointer, size uintptr) error {
	return j.with("QueryInformationJobObject", func(h windows.Handle) error {
		return windows.QueryInformationJobObject(h, class, uintptr(to), uint32(size), nil)
	})
}

// Usage asks the kernel. What it does not tell is 0.
func (j *Job) Usage() (Usage, error) {
	a, err := j.accounting()
	if err != nil {
		return Usage{}, err
	}
	u := Usage{CPUTime: time.Duration(a.userTime+a.kernelTime) * 100, Active: a.active}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	if j.query(windows.JobObjectExtendedLimitInformation, unsafe.Pointer(&limits), unsafe.Sizeof(limits)) == nil {
		u.PeakMemoryBytes, u.PeakProcess = uint64(limits.PeakJobMemoryUsed), uint64(limits.PeakProcessMemoryUsed)
	}
	var io struct {
		accounting
		windows.IO_COUNTERS
	}
	if j.query(windows.JobObjectBasicAndIoAccountingInformation, unsafe.Pointer(&io), unsafe.Sizeof(io)) == nil {
		u.ReadBytes, u.WrittenBytes, u.DiskKnown = io.ReadTransferCount, io.WriteTransferCount, true
	}
	return u, nil
}

// maxPids is how many processes of a job are looked at.
const maxPids = 4096

// Pids are the processes of the job that run.
func (j *Job) Pids() ([]int, error) {
	var list struct {
		assigned, listed uint32
		ids              [maxPids]uintptr
	}
	err := j.with("QueryInformationJobObject", func(h windows.Handle) error {
		return windows.QueryInformationJobObject(h, windows.JobObjectBasicProcessIdList,
			uintptr(unsafe.Pointer(&list)), uint32(unsafe.Sizeof(list)), nil)
	})
	if errors.Is(err, windows.ERROR_MORE_DATA) {
		err = nil
	}
	pids := make([]int, min(list.listed, maxPids))
	for i := range pids {
		pids[i] = int(list.ids[i])
	}
	return pids, err
}

// emptyPoll is the interval of looks at a job that is ending.
const emptyPoll = 2 * time.Millisecond

// AwaitEmpty waits until no process of the job runs, and reports whether that came
// about in time.
func (j *Job) AwaitEmpty(limit time.Duration) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(emptyPoll) {
		n, err := j.Active()
		if err != nil || n == 0 {
			return err == nil
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// Close gives the handle back. Idempotent.
func (j *Job) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.handle != 0 {
		windows.CloseHandle(j.handle)
		j.handle = 0
	}
}
