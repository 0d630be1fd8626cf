package metrics

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Limits are what a sandbox may use, for readers to compare with; 0 is not limited.
type Limits struct {
	MemoryBytes  uint64
	OverlayBytes uint64
}

// Token is a reservation. It is handed to the supervisor with its configuration.
type Token struct {
	Slot       uint32 `json:"slot"`
	Generation uint64 `json:"generation"`
	Instance   uint64 `json:"instance"` // of the registry file
}

// Registry is the registry of one directory. When its file is replaced, the
// registry opens the new one by its name. All methods are safe for concurrent use.
type Registry struct {
	dir      string
	capacity uint32 // to create with; 0 when it must exist

	mu     sync.Mutex
	f      *file // nil once closed
	closed bool
}

// Open opens the registry of a state directory, and makes it when there is none.
// capacity is the number of slots of a new one, 0 for the default; an existing one
// keeps its own.
func Open(dir string, capacity int) (*Registry, error) {
	if capacity < 0 || capacity > MaxCapacity {
		return nil, fault.New(fault.Invalid, fault.StageArgument, "metrics capacity %d: 1 to %d, 0 for %d", capacity, MaxCapacity, DefaultCapacity)
	}
	if capacity == 0 {
		capacity = DefaultCapacity
	}
	f, err := openOrCreate(dir, uint32(capacity))
	if err != nil {
		return nil, err
	}
	return &Registry{dir: dir, capacity: uint32(capacity), f: f}, nil
}

// OpenExisting is Open for readers and releasers: fault.NotFound when there is none.
func OpenExisting(dir string) (*Registry, error) {
	f, err := openFile(registryPath(dir))
	if err != nil {
		return nil, err
	}
	return &Registry{dir: dir, f: f}, nil
}

// Close releases the registry; idempotent. Writers go on.
func (r *Registry) Close() error {
	r.mu.Lock()
	f := r.f
	r.f, r.closed = nil, true
	r.mu.Unlock()
	if f == nil {
		return nil
	}
	f.mu.Lock() // a change that has begun ends first
	defer f.mu.Unlock()
	return f.Close()
}

// Capacity is the number of slots.
func (r *Registry) Capacity() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.f == nil {
		return 0
	}
	return int(r.f.capacity)
}

// file returns the file that lies at the registry's path now.
func (r *Registry) file(create bool) (*file, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fault.New(fault.Closed, fault.StageState, "metrics registry of %s is closed", r.dir)
	}
	if r.f != nil {
		if same, err := r.f.current(); err != nil || same {
			return r.f, err
		}
		r.f.Close() // who is in the middle of a call starts again
		r.f = nil
	}
	open := func() (*file, error) { return openFile(registryPath(r.dir)) }
	if create && r.capacity > 0 {
		open = func() (*file, error) { return openOrCreate(r.dir, r.capacity) }
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	r.f = f
	return f, nil
}

// with runs a read on the current file, once more when it was replaced meanwhile.
func (r *Registry) with(create bool, do func(f *file) error) error {
	for range attempts {
		f, err := r.file(create)
		if err != nil {
			return err
		}
		if err = do(f); !errors.Is(err, os.ErrClosed) && !errors.Is(err, errReplaced) {
			return err
		}
	}
	return fault.New(fault.IO, fault.StageState, "metrics registry of %s: somebody keeps replacing it", r.dir)
}

var errReplaced = errors.New("the file was replaced")

// change runs do under the lock of the current file.
func (r *Registry) change(create bool, do func(f *file) error) error {
	return r.with(create, func(f *file) error { return f.change(do) })
}

func (f *file) change(do func(f *file) error) error {
	if err := writable(f.path, registrySize(f.capacity)); err != nil {
		return err
	}
	if err := f.lock(); err != nil {
		return err
	}
	defer f.unlock()
	if same, err := f.current(); err != nil {
		return err
	} else if !same {
		return errReplaced
	}
	if _, err := f.check(); err != nil {
		return err
	}
	return do(f)
}

// Reserve takes a slot for a sandbox that launcher is about to start: a free one,
// else that of a sandbox that ended longest ago, else one whose owner died. When
// all belong to the living, the error is fault.Limit.
func (r *Registry) Reserve(name, id string, limits Limits, launcher Process) (Token, error) {
	if err := checkText("name", name, MaxName); err != nil {
		return Token{}, err
	}
	if err := checkText("id", id, MaxID); err != nil {
		return Token{}, err
	}
	if launcher.Pid <= 0 {
		return Token{}, fault.New(fault.Invalid, fault.StageArgument, "reserve metrics slot: launcher process %d", launcher.Pid)
	}
	var token Token
	err := r.change(true, func(f *file) error {
		if f.boot != bootHash() { // opened as an existing one
			return damaged(f.path, "is from before the last boot")
		}
		slot, err := f.candidate()
		if err != nil {
			return err
		}
		generation, err := f.free(slot)
		if err != nil {
			return err
		}
		buf := make([]byte, slotSize)
		identity{launcher: launcher, limits: limits, id: id, name: name}.encode(buf, generation)
		at := slotOffset(slot)
		// The whole slot is written, so that its memory exists from here on: a full
		// file system is an error here, and no SIGBUS in the supervisor.
		if err := f.write(buf[offSequence:], at+offSequence); err != nil {
			return err
		}
		token = Token{Slot: slot, Generation: generation, Instance: f.instance}
		return f.writeWord(uint64(Reserved), at+offState)
	})
	return token, err
}

func checkText(what, s string, most int) error {
	if s == "" || len(s) > most || strings.IndexByte(s, 0) >= 0 {
		return fault.New(fault.Invalid, fault.StageArgument, "metrics %s has %d bytes: 1 to %d without NUL", what, len(s), most)
	}
	return nil
}

// free makes a slot free, with a new generation. The generation comes first: once
// the slot is free, no older token fits.
func (f *file) free(slot uint32) (generation uint64, err error) {
	var buf [8]byte
	if err := f.read(buf[:], offGeneration); err != nil {
		return 0, err
	}
	generation = le.Uint64(buf[:]) + 1
	if err := f.writeWord(generation, offGeneration); err != nil {
		return 0, err
	}
	if err := f.writeWord(generation, slotOffset(slot)+offSlotGen); err != nil {
		return 0, err
	}
	return generation, f.writeWord(uint64(Free), slotOffset(slot)+offState)
}

// owned reads a token's slot; false when it is no longer the token's.
func (f *file) owned(t Token) (e Entry, ok bool, err error) {
	if t.Instance != f.instance || t.Slot >= f.capacity || t.Generation == 0 {
		return e, false, nil
	}
	buf := make([]byte, slotSize)
	if err := f.read(buf, slotOffset(t.Slot)); err != nil {
		return e, false, err
	}
	e, _ = decodeSlot(t.Slot, buf)
	return e, e.Generation == t.Generation && e.State != Free, nil
}

// ReleaseReserved frees a slot that never became active. It reports whether this
// call did: false when the supervisor has it, when it was released before or when
// the registry is gone.
func (r *Registry) ReleaseReserved(t Token) (released bool, err error) {
	return r.releaseIf(t, func(_ *file, e Entry) error {
		if e.State != Reserved {
			return errKept
		}
		return nil
	})
}

// errKept says that a slot stays as it is.
var errKept = errors.New("kept")

// Free frees a token's slot, reserved, active or stale, and reports whether this
// call did. It is for whoever has seen the supervisor end: while it lives, an
// active slot is a fault.State error.
func (r *Registry) Free(t Token) (freed bool, err error) {
	return r.releaseIf(t, func(f *file, e Entry) error {
		if e.State == Active && f.alive(e.Supervisor) {
			return fault.New(fault.State, fault.StageState,
				"free metrics slot %d: its supervisor, process %d, still runs", t.Slot, e.Supervisor.Pid)
		}
		return nil
	})
}

// alive reports whether a process that the file names still runs.
func (f *file) alive(p Process) bool { return f.boot == bootHash() && p.Alive() }

func (r *Registry) releaseIf(t Token, allowed func(*file, Entry) error) (done bool, err error) {
	err = r.change(false, func(f *file) error {
		e, ok, err := f.owned(t)
		if err != nil || !ok {
			return err
		}
		if err := allowed(f, e); err != nil {
			return err
		}
		if _, err := f.free(t.Slot); err != nil {
			return err
		}
		done = true
		return nil
	})
	if err == errKept {
		return false, nil
	}
	return done, missingIsNil(err)
}

// missingIsNil drops the error of a registry that does not exist.
func missingIsNil(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
