// Package logs_test tests the logs of sandboxes that run.
package logs_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/logs"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// logged is stdout and stderr in the log.
var logged = [3]core.Stdio{harness.Null, {Kind: core.StdioLog}, {Kind: core.StdioLog}}

// say starts a shell script whose output is logged.
func say(t *testing.T, sb *core.Sandbox, script string) *harness.Program {
	t.Helper()
	return harness.Start(t, sb, core.ProcessOptions{Argv: []string{"sh", "-c", script}, Stdio: logged})
}

func open(t *testing.T, name string, state core.State, o core.LogOptions) *core.LogReader {
	t.Helper()
	r, err := core.ReadLogs(name, state, o)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// next returns a copy of the next entry; at the end its source is 0.
func next(t *testing.T, r *core.LogReader) core.LogEntry {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Limit)
	defer cancel()
	e, err := r.Next(ctx)
	if err == io.EOF {
		return core.LogEntry{}
	}
	require.NoError(t, err)
	e.Content = bytes.Clone(e.Content)
	return e
}

func read(t *testing.T, name string, state core.State, o core.LogOptions) []core.LogEntry {
	t.Helper()
	r := open(t, name, state, o)
	var all []core.LogEntry
	for e := next(t, r); e.Source != 0; e = next(t, r) {
		all = append(all, e)
	}
	r.Close()
	return all
}

// text joins the content of one source.
func text(entries []core.LogEntry, source logs.Source) string {
	var b bytes.Buffer
	for _, e := range entries {
		if e.Source == source {
			b.Write(e.Content)
		}
	}
	return b.String()
}

// options are those of a sandbox with a name.
func options(t *testing.T, name string) core.Options {
	t.Helper()
	o := harness.Options(t)
	o.Name = name
	return o
}

// logFiles are the files of the only log below a state directory.
func logFiles(t *testing.T, state core.State) []string {
	t.Helper()
	for _, pattern := range []string{"sandboxes/*/log/log.*", "stored/*.log/log.*"} {
		files, err := filepath.Glob(filepath.Join(state.Dir, pattern))
		require.NoError(t, err)
		if len(files) > 0 {
			return files
		}
	}
	return nil
}

func size(t *testing.T, files []string) (total int64) {
	t.Helper()
	for _, f := range files {
		if st, err := os.Stat(f); err == nil { // else it was rotated away just now
			total += st.Size()
		}
	}
	return total
}
