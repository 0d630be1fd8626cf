package filters_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/filters"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/filters/compile"
)

const remedy = ": run go generate ./core/engine/gvisor/filters, and look at what changed"

// mismatch says in one line how the compiled filters differ from those that the
// pinned gVisor would compile; "" when they do not. gVisor itself would compile anew,
// slowly, where a key differs.
func mismatch(pinned, compiled filters.Set) string {
	for _, side := range []struct {
		name             string
		pinned, compiled []filters.Filter
	}{{"sentry", pinned.Sentry, compiled.Sentry}, {"gofer", pinned.Gofer, compiled.Gofer}} {
		want, have := keys(side.pinned), keys(side.compiled)
		if !slices.Equal(want, have) {
			return fmt.Sprintf("%s: the pinned gVisor asks for filters %q, compiled are %q%s", side.name, want, have, remedy)
		}
		for i, f := range side.pinned {
			if !reflect.DeepEqual(f, side.compiled[i]) {
				return fmt.Sprintf("%s: the rules of filter %q have changed in the pinned gVisor%s", side.name, f.Name, remedy)
			}
		}
	}
	return ""
}

func keys(list []filters.Filter) []string {
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.Name
	}
	return names
}

func TestFiltersAreThoseOfThePinnedVersion(t *testing.T) {
	have, err := filters.Load()
	if err != nil {
		t.Skip("needs filters compiled for this processor: go generate on it")
	}
	want, err := compile.All()
	require.NoError(t, err)
	require.NotEmpty(t, want.Sentry)
	require.NotEmpty(t, want.Gofer)
	require.Len(t, want.Sentry[0].PID, 1)
	require.Empty(t, want.Gofer[0].PID)
	if text := mismatch(want, have); text != "" {
		t.Fatal(text)
	}
}

func TestMismatchIsNamed(t *testing.T) {
	one := func(name string, code ...uint32) filters.Set {
		f := filters.Filter{}
		f.Name, f.Bytecode32 = name, code
		return filters.Set{Sentry: []filters.Filter{f}}
	}
	assert.Empty(t, mismatch(one("a", 1), one("a", 1)))
	assert.Equal(t, `sentry: the pinned gVisor asks for filters ["a"], compiled are ["b"]`+remedy, mismatch(one("a", 1), one("b", 1)))
	assert.Equal(t, `sentry: the rules of filter "a" have changed in the pinned gVisor`+remedy, mismatch(one("a", 1), one("a", 2)))
}
