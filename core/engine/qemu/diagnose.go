package qemu

import (
	"context"
	"fmt"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// emulatedTime bounds a probe run without KVM.
const emulatedTime = 30 * time.Second

// Diagnosis is what a person wants to know of an engine on this host.
type Diagnosis struct {
	QEMU   string        // its path; "" when it is missing
	Kernel string        // release and place of the guest's kernel; "" when there is none
	Boot   time.Duration // until the agent answered
}

// Diagnose makes a probe run, whatever an earlier one has shown, and remembers it. The
// error says why the engine cannot be used, and what to do.
func Diagnose(ctx context.Context, e engine.Engine, cfg engine.Config) (Diagnosis, error) {
	var d Diagnosis
	kvm := e.Name() == New().Name()
	d.QEMU, _ = findBinary()
	own := sandboxer{kvm: kvm}
	h, err := own.findHost(cfg)
	if err == nil {
		d.Kernel = fmt.Sprintf("%s (%s)", h.kernel.Release, h.kernel.Dir)
	}
	if kvm {
		if denied := kvmAccess(); denied != nil {
			return d, denied
		}
	}
	if err != nil {
		return d, err
	}
	begin := time.Now()
	if kvm {
		Forget(cfg.Kernels)
		err = h.needKVM(ctx, cfg)
	} else {
		err = h.probe(ctx, emulatedTime)
	}
	d.Boot = time.Since(begin)
	return d, err
}
