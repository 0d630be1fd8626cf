package metrics

import "github.com/libmicrosandbox/microsandbox/core/fault"

// candidate finds a slot to reserve, under the lock. Of those that ended it is the
// one whose reservation is oldest, so that last words are kept as long as they can.
func (f *file) candidate() (uint32, error) {
	var stale, reserved, active, unreadable []Entry
	used, err := f.check()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, min(chunkSlots, used)*slotSize)
	for from := uint32(0); from < used; from += chunkSlots {
		n := min(chunkSlots, used-from)
		if err := f.read(buf[:n*slotSize], slotOffset(from)); err != nil {
			return 0, err
		}
		for i := range n {
			e, _ := decodeSlot(from+i, buf[i*slotSize:(i+1)*slotSize])
			switch {
			case e.State == Free:
				return e.Slot, nil
			case e.Launcher.Pid == 0: // under the lock nobody is half way through it
				unreadable = append(unreadable, e)
			case e.State == Stale:
				stale = append(stale, e)
			case e.State == Reserved:
				reserved = append(reserved, e)
			case e.State == Active:
				active = append(active, e)
			}
		}
	}
	if used < f.capacity {
		return used, f.writeWord(uint64(used)+1, offUsed)
	}
	if len(stale) > 0 {
		oldest := stale[0]
		for _, e := range stale {
			if e.Generation < oldest.Generation {
				oldest = e
			}
		}
		return oldest.Slot, nil
	}
	for _, group := range [][]Entry{reserved, active} {
		for _, e := range group {
			if f.judge(&e); e.OwnerDead {
				return e.Slot, nil
			}
		}
	}
	if len(unreadable) > 0 {
		return unreadable[0].Slot, nil
	}
	return 0, fault.New(fault.Limit, fault.StageState,
		"metrics registry %s: all %d slots belong to running sandboxes", f.path, f.capacity)
}

// Sweep frees the slots of dead owners: reserved ones whose launcher, active ones
// whose supervisor is gone. It returns how many it freed; a registry that does not
// exist has none.
func (r *Registry) Sweep() (freed int, err error) {
	var dead []Token
	err = r.with(false, func(f *file) error {
		dead = nil
		return f.each(func(e Entry, ok bool) error {
			if ok && e.OwnerDead {
				dead = append(dead, e.token(f.instance))
			}
			return nil
		})
	})
	if err != nil {
		return 0, missingIsNil(err)
	}
	for _, t := range dead { // the lock is not held while processes are looked up
		done, err := r.releaseIf(t, func(f *file, e Entry) error {
			if f.judge(&e); !e.OwnerDead {
				return errKept
			}
			return nil
		})
		if err != nil {
			return freed, err
		}
		if done {
			freed++
		}
	}
	return freed, nil
}
