package mounts

import (
	"slices"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Validate checks the mounts of one sandbox and returns them as they are to be
// made: defaults filled in, a parent before what is mounted in it, otherwise in
// the given order. No target may be at, above or below a reserved path: those
// are the engine's own files in the guest.
func Validate(specs []Spec, reserved ...string) ([]Spec, error) {
	if len(specs) > MaxMounts {
		return nil, fault.New(fault.Limit, fault.StageArgument, "%d mounts, at most %d are allowed", len(specs), MaxMounts)
	}
	out := make([]Spec, 0, len(specs))
	taken := make(map[string]bool, len(specs))
	for _, s := range specs {
		s, err := s.normalize(reserved)
		if err != nil {
			return nil, err
		}
		if taken[s.Target] {
			return nil, s.invalid("two mounts have this target: leave one out")
		}
		taken[s.Target] = true
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b Spec) int { return depth(a) - depth(b) })
	return out, nil
}

// depth is the number of components of a clean target.
func depth(s Spec) int { return strings.Count(s.Target, "/") }
