package qemu

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/enginetest"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// What every engine passes. A boot takes seconds here, so that tests with equal roots
// share a machine.
func TestSuiteOfAllEngines(t *testing.T) {
	if testing.Short() {
		t.Skip("boots many machines: make test does")
	}
	machines := map[string]engine.Machine{}
	suite := enginetest.Suite{
		Boot: func(inner testing.TB, root string) engine.Machine {
			key := fingerprint(inner, root)
			if alone[inner.Name()] {
				key = inner.Name()
			}
			if m := machines[key]; m != nil {
				select {
				case <-m.Done():
				default:
					return m
				}
			}
			cfg := testConfig(t)
			cfg.Root = image.Root{Kind: image.EROFS, Path: makeImage(t, root, filepath.Join(t.TempDir(), "root.img"))}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			m, err := NewTCG().Boot(ctx, cfg)
			require.NoError(inner, err)
			t.Cleanup(func() { assert.NoError(t, m.Close()) })
			machines[key] = m
			return m
		},
		Ways: map[string][]string{"agent": enginetest.DefaultEnv},
	}
	suite.All(t)
}

// alone are tests that count the processes of the whole machine, and one whose figures the
// agent's own memory, which earlier programs have made larger, would hide.
var alone = map[string]bool{
	"TestSuiteOfAllEngines/SignalAll": true, "TestSuiteOfAllEngines/KillEndsTheFamily": true,
	"TestSuiteOfAllEngines/Usage/agent": true, "TestSuiteOfAllEngines/Usage": true,
}

// fingerprint is equal for roots with the same files.
func fingerprint(t testing.TB, root string) string {
	var all strings.Builder
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		rel, _ := filepath.Rel(root, path)
		fmt.Fprintln(&all, rel, info.Mode(), info.Size())
		return err
	}))
	return all.String()
}
