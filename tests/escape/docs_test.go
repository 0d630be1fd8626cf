package escape

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	quoted   = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// Each probe stands behind a promise of the threat model, and each promise names
// probes that exist.
func TestThreatModelNamesTheProbes(t *testing.T) {
	data, err := os.ReadFile("../../docs/threat-model.md")
	require.NoError(t, err)
	exists := map[string]bool{}
	for _, p := range table() {
		assert.False(t, exists[p.name], "two probes are called %q", p.name)
		exists[p.name] = true
	}
	for _, file := range []string{"root", "mount", "stdio", "terminal", "neighbour", "harm"} {
		source, err := os.ReadFile(file + "_test.go")
		require.NoError(t, err)
		for _, m := range testName.FindAllStringSubmatch(string(source), -1) {
			exists[m[1]] = true
		}
	}
	named := map[string]bool{}
	for row := range strings.Lines(string(data)) {
		columns := strings.Split(row, "|")
		if len(columns) != 4 || !quoted.MatchString(columns[2]) {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(columns[2], -1) {
			named[m[1]] = true
			assert.True(t, exists[m[1]], "docs/threat-model.md names %q, which is no probe", m[1])
		}
	}
	for name := range exists {
		assert.True(t, named[name], "docs/threat-model.md does not name %q", name)
	}
}
