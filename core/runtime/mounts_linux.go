package runtime

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/disklock"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/launch"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// takeMounts takes the open mounts that the library passed. What they are is
// checked later; here they only stop being nobody's.
func (s *supervisor) takeMounts() {
	fd := launch.MountFD
	for _, e := range s.cfg.Mounts {
		if e.FD < 0 || len(s.files) == mounts.MaxMounts {
			continue
		}
		unix.CloseOnExec(fd)
		s.files = append(s.files, os.NewFile(uintptr(fd), e.Spec.Source))
		fd++
	}
}

// bootEngine opens the root, checks the mounts, locks the images, and boots. What
// was checked and locked is what the engine gets.
func (s *supervisor) bootEngine(ctx context.Context) error {
	sources, err := mounts.Unpack(s.cfg.Mounts, s.files)
	s.files = nil
	if err != nil {
		return err
	}
	defer mounts.CloseAll(sources)
	cfg := s.engineConfig(sources)
	cfg.Dir, cfg.Log = s.claim.Dir(), s.log.Printf
	if s.cfg.Root.Kind != image.Host {
		if cfg.RootFile, err = image.Open(s.cfg.Root); err != nil {
			return err
		}
		defer cfg.RootFile.Close()
	}
	if err := s.lockImages(cfg); err != nil {
		return err
	}
	s.machine, err = s.engine.Boot(ctx, cfg)
	return err
}

// lockImages locks all images of the sandbox: against writers, and those that the
// sandbox itself writes against everybody. The locks end with
// this process, however it ends.
func (s *supervisor) lockImages(cfg engine.Config) error {
	if cfg.Root.Kind == image.EROFS {
		if err := s.lockImage(cfg.RootFile, cfg.Root.Path, disklock.Shared); err != nil {
			return err
		}
	}
	for _, m := range cfg.Mounts {
		if m.Spec.Kind != mounts.EROFS && m.Spec.Kind != mounts.Disk {
			continue
		}
		mode := disklock.Exclusive
		if m.Spec.ReadOnly {
			mode = disklock.Shared
		}
		if err := s.lockImage(m.File(), m.Spec.Source, mode); err != nil {
			return err
		}
	}
	return nil
}

func (s *supervisor) lockImage(file *os.File, path string, mode disklock.Mode) error {
	held, err := disklock.LockFile(file, path, mode, s.root.NameOf)
	if err != nil {
		return err
	}
	return s.locks.Add(held)
}
