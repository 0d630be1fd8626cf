package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// peer is stock runsc, with the flags that take from it what we do not have
// either: a network and cgroups.
type peer struct {
	settings
	runsc    string
	root     string            // its state directory
	bundles  map[string]string // by kind of root; their command is `echo hi`
	standing string            // bundle of the container that runs until it is ended
	next     int               // number of the next container
}

func newPeer(ctx context.Context, s settings, scratch string, r roots) (*peer, error) {
	p := &peer{
		settings: s, runsc: s.product("bench", "runsc"), root: filepath.Join(scratch, "runsc"),
		bundles: map[string]string{}, standing: filepath.Join(scratch, "bundle-standing"),
	}
	if err := os.Mkdir(p.root, 0o700); err != nil {
		return nil, err
	}
	for _, kind := range []string{"erofs", "dir"} {
		p.bundles[kind] = filepath.Join(scratch, "bundle-"+kind)
		if err := p.bundle(ctx, p.bundles[kind], kind, r, "/bin/echo", "hi"); err != nil {
			return nil, err
		}
	}
	return p, p.bundle(ctx, p.standing, "erofs", r, stayArgv...)
}

// stayArgv says "ready" and stays until it is killed.
var stayArgv = []string{"/bin/sh", "-c", "echo ready; exec sleep 3600"}

// bundle writes runsc's own default specification with another root.
func (p *peer) bundle(ctx context.Context, dir, kind string, r roots, argv ...string) error {
	empty := filepath.Join(dir, "empty")
	if err := os.MkdirAll(empty, 0o755); err != nil {
		return err
	}
	args := append([]string{"spec", "-bundle", dir, "--"}, argv...)
	if out, err := exec.CommandContext(ctx, p.runsc, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("runsc spec: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return editSpec(dir, func(spec map[string]any) error {
		// Writable, as ours: both keep changes in an overlay.
		spec["root"] = map[string]any{"path": r.dir, "readonly": false}
		if kind == "erofs" {
			spec["root"] = map[string]any{"path": empty, "readonly": false}
			spec["annotations"] = map[string]string{
				"dev.gvisor.spec.rootfs.type":    "erofs",
				"dev.gvisor.spec.rootfs.source":  r.erofs,
				"dev.gvisor.spec.rootfs.overlay": "memory",
			}
		}
		return nil
	})
}

// bind adds a read-only bind mount to a bundle.
func bind(dir, source, target string) error {
	return editSpec(dir, func(spec map[string]any) error {
		mounts, ok := spec["mounts"].([]any)
		if !ok {
			return fmt.Errorf("%s: the specification has no list of mounts", dir)
		}
		spec["mounts"] = append(mounts, map[string]any{
			"destination": target, "type": "bind", "source": source, "options": []string{"bind", "ro"},
		})
		return nil
	})
}

func editSpec(dir string, edit func(map[string]any) error) error {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := edit(spec); err != nil {
		return err
	}
	if data, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

func (p *peer) command(words ...string) []string {
	command := []string{p.runsc, "--root", p.root, "--network=none", "--ignore-cgroups"}
	if os.Geteuid() != 0 {
		command = append(command, "--rootless")
	}
	return append(command, words...)
}

// runCommand starts, runs and removes a new container.
func (p *peer) runCommand(kind string) []string { return p.run(p.bundles[kind]) }

// stayCommand is one that says "ready" and stays.
func (p *peer) stayCommand() []string { return p.run(p.standing) }

func (p *peer) run(bundle string) []string {
	p.next++
	return p.command("run", "-bundle", bundle, "bench-"+strconv.Itoa(p.next))
}

// manyCommand is a command for many containers: the number of each one is to be
// added to the last word.
func (p *peer) manyCommand(bundle string) []string {
	p.next++
	return p.command("run", "-bundle", bundle, "bench-"+strconv.Itoa(p.next)+"-")
}

const standingID = "bench-standing"

func (p *peer) execCommand(argv ...string) []string {
	return p.command(append([]string{"exec", standingID}, argv...)...)
}

// stand runs the container of a bundle that stays, for execCommand, whose sandbox ends with runsc, and
// returns how to end it.
func (p *peer) stand(ctx context.Context, bundle string) (end func(), err error) {
	cmd := keep(ctx, p.settings, p.command("run", "-bundle", bundle, standingID)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end = func() {
		kill := p.command("kill", standingID, "KILL")
		if exec.CommandContext(ctx, kill[0], kill[1:]...).Run() != nil {
			cmd.Cancel()
		}
		cmd.Wait()
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		end()
		return nil, errors.New("runsc run: the container did not start")
	}
	return end, nil
}

// removeAll removes the scratch directory. runsc leaves a mount there, its
// empty network namespace.
func removeAll(scratch string) {
	syscall.Unmount(filepath.Join(scratch, "runsc", "null-netns"), syscall.MNT_DETACH)
	if err := os.RemoveAll(scratch); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	}
}
