package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// litter is what lies in the directories where the two sides keep their state,
// by relative path.
type litter struct{ ours, peer map[string]bool }

func (m *measurement) litter() (litter, error) {
	ours, err := pathsBelow(m.stateDir)
	if err != nil {
		return litter{}, err
	}
	peer, err := pathsBelow(m.peer.root)
	return litter{ours, peer}, err
}

func pathsBelow(dir string) (map[string]bool, error) {
	paths := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && path != dir {
			paths[strings.TrimPrefix(path, dir+string(os.PathSeparator))] = true
		}
		return err
	})
	return paths, err
}

// lookForLitter notes what the kills left. Of ours an audit, which sweeps first,
// must find nothing.
func (m *measurement) lookForLitter(before litter, kills int) error {
	after, err := m.litter()
	if err != nil {
		return err
	}
	orphans, err := m.host.ask("audit")
	if err != nil {
		return err
	}
	if orphans[0] != 0 {
		m.fails("%.0f things of killed sandboxes are left after a sweep", orphans[0])
	}
	m.note("Left on disk after %d kills of a sandbox and %d of an owner, before a sweep: %s; after it: %.0f orphans. "+
		"After %d kills of `runsc run`: %s. bwrap keeps no state.",
		kills, kills, describe(added(before.ours, after.ours)), orphans[0],
		kills, describe(added(before.peer, after.peer)))
	return nil
}

func added(before, after map[string]bool) []string {
	var paths []string
	for path := range after {
		if !before[path] {
			paths = append(paths, path)
		}
	}
	return paths
}

var generated = regexp.MustCompile(`[0-9a-f]{12,}|[0-9]+`)

// describe counts paths by name, with N in place of numbers.
func describe(paths []string) string {
	if len(paths) == 0 {
		return "nothing"
	}
	counts := map[string]int{}
	for _, path := range paths {
		counts[generated.ReplaceAllString(path, "N")]++
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%d × `%s`", counts[name], name))
	}
	return strings.Join(words, ", ")
}
