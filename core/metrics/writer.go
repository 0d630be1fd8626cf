package metrics

import (
	"encoding/binary"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Writer writes the samples of one active slot. It maps the slot, so it is for
// processes of our own, not for a host program.
type Writer struct {
	f     *file // its own: the registry may be closed
	token Token

	mu      sync.Mutex
	mapped  []byte // pages around the slot; nil once released
	slot    []byte
	written uint64
	stopped error // why it stopped for good
}

// Activate makes a reservation the supervisor's, which writes it from now on. When
// the reservation has been released or reclaimed, the error is fault.Gone, and
// the supervisor runs without metrics.
func (r *Registry) Activate(t Token, supervisor Process) (*Writer, error) {
	if supervisor.Pid <= 0 {
		return nil, fault.New(fault.Invalid, fault.StageArgument, "activate metrics slot: supervisor process %d", supervisor.Pid)
	}
	f, err := openFile(registryPath(r.dir))
	if err != nil {
		return nil, err
	}
	w := &Writer{f: f, token: t}
	if err := f.change(func(f *file) error { return w.activate(supervisor) }); err != nil {
		w.unmap()
		f.Close()
		if err == errReplaced {
			return nil, lost(t)
		}
		return nil, err
	}
	return w, nil
}

func lost(t Token) error {
	return fault.New(fault.Gone, fault.StageState,
		"metrics slot %d is no longer reservation %d: it was released, or reclaimed because its owner seemed dead", t.Slot, t.Generation)
}

func (w *Writer) activate(supervisor Process) error {
	e, ok, err := w.f.owned(w.token) // under the lock
	if err != nil {
		return err
	}
	if !ok || e.State != Reserved || e.Launcher.Pid == 0 {
		return lost(w.token)
	}
	at := slotOffset(w.token.Slot)
	buf := make([]byte, slotSize)
	identity{
		launcher: e.Launcher, supervisor: supervisor, startedMS: time.Now().UnixMilli(),
		limits: e.Limits, id: e.ID, name: e.Name,
	}.encode(buf, w.token.Generation)
	if err := w.f.write(buf[offIdentity:offSamples], at+offIdentity); err != nil {
		return err
	}
	from := at &^ (mapUnit() - 1)
	if err := w.f.control(func(fd uintptr) (err error) {
		w.mapped, err = mapShared(fd, from, int(at-from)+slotSize)
		return err
	}); err != nil {
		return failed(err, w.f.path)
	}
	w.slot = w.mapped[at-from:]
	return w.f.writeWord(uint64(Active), at+offState)
}

// word is a word of the slot in the file's byte order, which little makes and reads.
func (w *Writer) word(at int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&w.slot[at]))
}

// little changes between a number and its little-endian form in memory.
func little(v uint64) uint64 {
	var b [8]byte
	le.PutUint64(b[:], v)
	return binary.NativeEndian.Uint64(b[:])
}

// Write publishes a sample, stamped with the time. It takes no lock and waits for
// no reader. Once the slot is not the writer's any more, or the file was truncated,
// Write stops for good and returns that error ever after.
func (w *Writer) Write(s Sample) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped != nil {
		return w.stopped
	}
	if w.slot == nil {
		return fault.New(fault.Closed, fault.StageState, "metrics slot %d was released", w.token.Slot)
	}
	now, err := monotonic()
	if err != nil {
		return failed(err, w.f.path)
	}
	s.Number, s.SampledAt, s.Monotonic = w.written+1, time.Now(), now
	w.stopped = w.publish(s.encode(w.token.Generation))
	if w.stopped == nil {
		w.written++
	}
	return w.stopped
}

// publish writes the sample after number w.written into the block that does not
// hold that one. The sequence is odd meanwhile: 2n+1, and 2n+2 afterwards. A stale
// writer is kept out by the generation, looked at before and after the sequence is
// taken; should it be overtaken right then, what it writes has its own generation
// and is nobody's sample.
func (w *Writer) publish(words [sampleWords]uint64) (err error) {
	defer w.truncated(&err)()
	sequence, n := w.word(offSequence), w.written
	if !w.owns() || !sequence.CompareAndSwap(little(2*n), little(2*n+1)) {
		return lost(w.token)
	}
	if !w.owns() {
		sequence.CompareAndSwap(little(2*n+1), little(2*n))
		return lost(w.token)
	}
	block := offSamples + int((n+1)&1)*sampleSize
	for i, v := range words {
		w.word(block + 8*i).Store(little(v))
	}
	if !sequence.CompareAndSwap(little(2*n+1), little(2*n+2)) {
		return lost(w.token)
	}
	return nil
}

func (w *Writer) owns() bool {
	return little(w.word(offSlotGen).Load()) == w.token.Generation && State(little(w.word(offState).Load())) == Active
}

// truncated makes the fault of a page that is no longer in the file an error.
func (w *Writer) truncated(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		r := recover()
		if r == nil {
			return
		}
		if _, memory := r.(interface{ Addr() uintptr }); !memory {
			panic(r)
		}
		*err = damaged(w.f.path, "was truncated")
	}
}

// Release ends the writer: its slot becomes stale, with the last sample for those
// who come late, or free. Idempotent; no error when somebody else freed the slot.
func (w *Writer) Release(keep bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mapped == nil {
		return nil
	}
	defer w.f.Close()
	defer w.unmap()
	err := w.f.change(func(f *file) error {
		e, ok, err := f.owned(w.token)
		if err != nil || !ok || e.State != Active {
			return err
		}
		if keep {
			return f.writeWord(uint64(Stale), slotOffset(w.token.Slot)+offState)
		}
		_, err = f.free(w.token.Slot)
		return err
	})
	if err == errReplaced {
		return nil // the slot went with its file
	}
	return err
}

func (w *Writer) unmap() {
	if w.mapped != nil {
		unmapShared(w.mapped)
	}
	w.mapped, w.slot = nil, nil
}
