package runtime

import (
	"context"

	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// bootEngine checks the mounts and boots.
func (s *supervisor) bootEngine(ctx context.Context) error {
	sources, err := mounts.Unpack(s.cfg.Mounts, s.files)
	if err != nil {
		return err
	}
	cfg := s.engineConfig(sources)
	cfg.Dir, cfg.Log = s.claim.Dir(), s.log.Printf
	s.machine, err = s.engine.Boot(ctx, cfg)
	return err
}
