package metrics

import (
	"bytes"
	"runtime"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

const (
	// readTries bounds the reads of a slot that changes all the time. A supervisor
	// writes once a second; one that does nothing but write leaves most reads whole.
	readTries = 4096
	// idleTries bounds the reads of a slot that makes no sense and does not change.
	idleTries = 64
	// chunkSlots is how many slots are read at once.
	chunkSlots = 64
)

// Entry is a slot as a reader sees it.
type Entry struct {
	Slot       uint32
	Generation uint64
	State      State // Stale, too, when the supervisor of an active slot is dead
	Name, ID   string
	Limits     Limits
	Launcher   Process
	Supervisor Process   // zero while reserved
	Started    time.Time // when the slot became active; zero while reserved
	OwnerDead  bool      // the launcher of a reserved or the supervisor of an active slot died
	HasSample  bool
	Sample     Sample // the last one
}

// token is the reservation that an entry shows.
func (e Entry) token(instance uint64) Token {
	return Token{Slot: e.Slot, Generation: e.Generation, Instance: instance}
}

// decodeSlot reads a copy of a slot. Not ok: it is a mixture of two moments, or
// damaged. State and Generation are set all the same.
func decodeSlot(slot uint32, b []byte) (e Entry, ok bool) {
	e = Entry{Slot: slot, State: State(le.Uint32(b[offState:])), Generation: le.Uint64(b[offSlotGen:])}
	if e.State == Free {
		return e, true
	}
	d, ok := decodeIdentity(b, e.Generation)
	if !ok || e.State > Stale || e.State != Reserved && d.supervisor.Pid == 0 {
		return e, false
	}
	e.Name, e.ID, e.Limits, e.Launcher, e.Supervisor = d.name, d.id, d.limits, d.launcher, d.supervisor
	if e.State == Reserved { // the rest is for the moment that it becomes active
		e.Supervisor = Process{}
		return e, true
	}
	e.Started = time.UnixMilli(d.startedMS)
	// The last whole sample lies in the block that is not being written.
	if n := le.Uint64(b[offSequence:]) >> 1; n > 0 {
		e.Sample, ok = decodeSample(b, e.Generation, n)
		e.HasSample = ok
	}
	return e, ok
}

// readSlot reads one slot, again until the copy is whole. first is a copy that the
// caller has already, or nil. When the slot stays unreadable, ok is false; an
// entry whose sample alone does comes without it.
func (f *file) readSlot(slot uint32, first []byte) (e Entry, ok bool, err error) {
	var buf, last [slotSize]byte
	idle := 0
	for try := range readTries {
		if try > 0 || first == nil {
			if err := f.read(buf[:], slotOffset(slot)); err != nil {
				return e, false, err
			}
		} else {
			copy(buf[:], first)
		}
		if e, ok = decodeSlot(slot, buf[:]); ok {
			if e.State == Free {
				return e, true, nil
			}
			if ok, err = f.confirm(slot, buf[:]); ok || err != nil {
				return e, ok, err
			}
		} else if try > 0 && buf == last {
			if idle++; idle == idleTries {
				break
			}
		}
		last = buf
		if try%16 == 15 {
			runtime.Gosched() // the writer may be a goroutine of this process
		}
	}
	d, identified := decodeIdentity(buf[:], e.Generation)
	return e, identified && e.State <= Stale && (e.State == Reserved || d.supervisor.Pid != 0), nil
}

// confirm reads state and generation again: when they are the same, then the state
// is one of that generation, whose identity and sample the checksums vouch for.
func (f *file) confirm(slot uint32, copied []byte) (bool, error) {
	var now [offSequence]byte
	err := f.read(now[:], slotOffset(slot))
	return err == nil && bytes.Equal(copied[:offSequence], now[:]), err
}

// judge looks whether the owner of a slot lives.
func (f *file) judge(e *Entry) {
	switch e.State {
	case Reserved:
		e.OwnerDead = !f.alive(e.Launcher)
	case Active:
		if e.OwnerDead = !f.alive(e.Supervisor); e.OwnerDead {
			e.State = Stale
		}
	}
}

// each calls do for each slot that is not free, with owners judged. Slots that
// cannot be read have ok false.
func (f *file) each(do func(e Entry, ok bool) error) error {
	used, err := f.check()
	if err != nil {
		return err
	}
	buf := make([]byte, min(chunkSlots, used)*slotSize)
	for from := uint32(0); from < used; from += chunkSlots {
		n := min(chunkSlots, used-from)
		if err := f.read(buf[:n*slotSize], slotOffset(from)); err != nil {
			return err
		}
		for i := range n {
			b := buf[i*slotSize : (i+1)*slotSize]
			if le.Uint32(b[offState:]) == uint32(Free) {
				continue
			}
			e, ok, err := f.readSlot(from+i, b)
			if err != nil {
				return err
			}
			if ok && e.State == Free {
				continue
			}
			f.judge(&e)
			if err := do(e, ok); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Registry) list(want func(e Entry) bool) (entries []Entry, err error) {
	err = r.with(false, func(f *file) error {
		entries = nil
		return f.each(func(e Entry, ok bool) error {
			if ok && want(e) {
				entries = append(entries, e)
			}
			return nil
		})
	})
	return entries, err
}

// Slots returns every slot in use, also the reserved ones: what an audit lists.
func (r *Registry) Slots() ([]Entry, error) {
	return r.list(func(Entry) bool { return true })
}

// Snapshot returns the active and the stale slots, with their last samples. An
// active one that has not written yet comes without.
func (r *Registry) Snapshot() ([]Entry, error) {
	return r.list(func(e Entry) bool { return e.State == Active || e.State == Stale })
}

// Active returns the slots of living supervisors.
func (r *Registry) Active() ([]Entry, error) {
	return r.list(func(e Entry) bool { return e.State == Active })
}

// ByName returns the slot of the sandbox of that name that runs, else of the one
// that ended last; fault.NotFound when there is none.
func (r *Registry) ByName(name string) (Entry, error) {
	return r.find("name", name, func(e Entry) bool { return e.Name == name })
}

// ByID is ByName for the id of one sandbox.
func (r *Registry) ByID(id string) (Entry, error) {
	return r.find("id", id, func(e Entry) bool { return e.ID == id })
}

func (r *Registry) find(what, value string, match func(Entry) bool) (found Entry, err error) {
	err = r.with(false, func(f *file) error {
		// What was found may have become another sandbox's by the end of the scan.
		for range attempts {
			found = Entry{}
			if err := f.each(func(e Entry, ok bool) error {
				if ok && match(e) && e.State != Reserved && better(e, found) {
					found = e
				}
				return nil
			}); err != nil {
				return err
			}
			if found.Generation == 0 {
				return fault.New(fault.NotFound, fault.StageState, "metrics of sandbox %s %q: none are kept", what, value)
			}
			again, ok, err := f.readSlot(found.Slot, nil)
			if err != nil {
				return err
			}
			if ok && again.Generation == found.Generation && again.State != Free {
				f.judge(&again)
				if again.State == found.State {
					found = again
					return nil
				}
			}
		}
		return fault.New(fault.TimedOut, fault.StageState, "metrics of sandbox %s %q: its slot changes all the time", what, value)
	})
	return found, err
}

func better(e, than Entry) bool {
	if (e.State == Active) != (than.State == Active) {
		return e.State == Active
	}
	return e.Generation > than.Generation
}
