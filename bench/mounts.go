package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// tree is what a bind mount shows: files of one size in directories.
type tree struct {
	directories, filesEach, fileBytes int
}

func (t tree) files() int   { return t.directories * t.filesEach }
func (t tree) bytes() int64 { return int64(t.files()) * int64(t.fileBytes) }

// The sizes of a run of at least fullTrees runs: 500 MB in 400 files, and 20,000
// files of 4 KiB. A shorter one reads trees of so many twentieths as it has runs.
const (
	fullTrees      = 5
	treeParts      = 20
	largePerPart   = 20
	largeFileBytes = 1_250_000
	smallPerPart   = 1_000
	smallFileBytes = 4096
)

// boundAt is where both sides have the tree.
const boundAt = "/data"

// treeFigure is a tree and what its figure says.
type treeFigure struct {
	tree
	name, unit string
	amount     float64 // of units in one reading of the tree, but for "/s"
}

func treeFigures(runs int) []treeFigure {
	parts := treeParts
	if runs < fullTrees {
		parts = runs
	}
	large := tree{parts, largePerPart, largeFileBytes}
	small := tree{parts, smallPerPart, smallFileBytes}
	figures := []treeFigure{
		{large, "bind_read_tree", "MB/s", float64(large.bytes()) / bytesMegabyte},
		{small, "bind_read_small", "files/s", float64(small.files())},
	}
	if parts < treeParts {
		for i := range figures {
			figures[i].name += fmt.Sprintf("_%.0f", figures[i].amount)
		}
	}
	return figures
}

// mounts measures reading all of a tree through a read-only bind mount, the page
// cache being warm, by the same program in the same root on both sides.
func (m *measurement) mounts(ctx context.Context) ([]figure, error) {
	var figures []figure
	for _, t := range treeFigures(m.runs) {
		f, err := m.readTree(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

func (m *measurement) readTree(ctx context.Context, t treeFigure) (f figure, err error) {
	source, err := os.MkdirTemp(filepath.Dir(m.roots.dir), "tree-")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(source)
	if err := t.make(ctx, source); err != nil {
		return f, err
	}
	bundle := source + "-bundle"
	if err := m.peer.bundle(ctx, bundle, "erofs", m.roots, stayArgv...); err != nil {
		return f, err
	}
	if err := bind(bundle, source, boundAt); err != nil {
		return f, err
	}
	end, err := m.peer.stand(ctx, bundle)
	if err != nil {
		return f, err
	}
	defer end()
	if _, err := m.host.ask("open", "erofs", m.roots.erofs, sandboxName, source, boundAt); err != nil {
		return f, err
	}
	argv := []string{"/bin/guest", "read", boundAt}
	ours, peer, err := m.inTurns(
		func() ([]float64, error) { return m.readOn(t.tree, "library", argv) },
		func() ([]float64, error) { return m.readOn(t.tree, "peer", m.peer.execCommand(argv...)) },
	)
	if err != nil {
		return f, err
	}
	f = figure{name: t.name, unit: t.unit, peerName: "runsc exec", atLeast: true}
	f.ours, f.peer = compare(ours[0], peer[0], func(nanoseconds float64) float64 { return t.amount / (nanoseconds / 1e9) })
	_, err = m.host.ask("close")
	return f, err
}

// readOn has the tree read once; what the reader did not see fails the run.
func (m *measurement) readOn(t tree, side string, argv []string) ([]float64, error) {
	numbers, err := m.host.ask(append([]string{"read", side}, argv...)...)
	if err != nil {
		return nil, err
	}
	if err := t.check(numbers); err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return numbers[:1], nil
}

// check compares an answer (nanoseconds, files, bytes) to what the tree has.
func (t tree) check(numbers []float64) error {
	switch {
	case len(numbers) != 3 || numbers[0] <= 0:
		return fmt.Errorf("%v instead of a time, files and bytes", numbers)
	case numbers[1] != float64(t.files()) || numbers[2] != float64(t.bytes()):
		return fmt.Errorf("read %.0f bytes in %.0f files instead of %d in %d", numbers[2], numbers[1], t.bytes(), t.files())
	}
	return nil
}

// make writes the tree. Its content is random: no file system can store it as
// holes. All may read it, since an unprivileged sandbox has other ids.
func (t tree) make(ctx context.Context, root string) error {
	if err := os.Chmod(root, 0o755); err != nil {
		return err
	}
	content := make([]byte, t.fileBytes)
	random := rand.NewChaCha8([32]byte{})
	for d := range t.directories {
		dir := filepath.Join(root, strconv.Itoa(d))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for f := range t.filesEach {
			random.Read(content)
			if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(f)), content, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
