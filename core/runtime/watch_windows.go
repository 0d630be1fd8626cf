package runtime

import (
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// watch starts what can end the sandbox from outside. The owner's death ends the job
// that this process is in; should somebody else have a handle of that, the watch here
// does it.
func (s *supervisor) watch() {
	s.awaitOwner()
	go s.watchPipe(s.watchdog)
}

// watchLock has nothing to watch: what is open cannot be deleted here.
func (s *supervisor) watchLock(*store.Claim) {}

// untie lets this process live on when the owner's handle of its job is closed.
func (s *supervisor) untie() error {
	job, err := winsys.OpenJob(s.job)
	if err == nil {
		defer job.Close()
		err = job.SetLimits(winsys.Limits{})
	}
	if err != nil {
		return fault.Wrap(err, fault.IO, fault.StageControl, "detach: clear kill-on-close of the supervisor's job")
	}
	return nil
}
