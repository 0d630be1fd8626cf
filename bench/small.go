package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// smallPeer is a program that isolates with the kernel's own means only: it shows
// how far a kernel of one's own is from none.
type smallPeer struct {
	suffix, name string
	command      func() []string // a new one that runs `echo hi`
}

// smallPeers are those that run here; of the others a note says why they do not.
func (m *measurement) smallPeers(ctx context.Context) ([]smallPeer, error) {
	bwrap, err := m.bwrapCommand("/bin/echo", "hi")
	if err != nil {
		return nil, err
	}
	peers := []smallPeer{{"_bwrap", "bwrap", func() []string { return bwrap }}}
	crun, err := m.crunPeer(ctx)
	if err != nil {
		m.note("crun does not run here: %v.", err)
		return peers, nil
	}
	return append(peers, crun), nil
}

// hybridCgroups takes away what crun refuses to run beside, for crun alone.
var hybridCgroups = []string{"unshare", "--mount", "sh", "-c", `umount /sys/fs/cgroup/unified && exec "$@"`, "sh"}

func (m *measurement) crunPeer(ctx context.Context) (smallPeer, error) {
	bundle, state := filepath.Join(m.peer.root, "crun-bundle"), filepath.Join(m.peer.root, "crun")
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		return smallPeer{}, err
	}
	spec := exec.CommandContext(ctx, "crun", "spec")
	spec.Dir = bundle
	if out, err := spec.CombinedOutput(); err != nil && !strings.Contains(string(out), "exists") {
		return smallPeer{}, fmt.Errorf("crun spec: %w: %s", err, strings.TrimSpace(string(out)))
	}
	err := editSpec(bundle, func(spec map[string]any) error {
		process, ok := spec["process"].(map[string]any)
		if !ok {
			return fmt.Errorf("%s: the specification has no process", bundle)
		}
		process["terminal"], process["args"] = false, []string{"/bin/echo", "hi"}
		spec["root"] = map[string]any{"path": m.roots.dir, "readonly": true}
		return nil
	})
	if err != nil {
		return smallPeer{}, err
	}
	number := 0
	command := func(prefix ...string) []string {
		number++
		return append(append([]string(nil), prefix...), "crun", "--root", state, "--cgroup-manager=disabled", "run",
			"--bundle", bundle, fmt.Sprintf("bench-%d-%d", os.Getpid(), number))
	}
	try := func(prefix ...string) error {
		argv := command(prefix...)
		out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
		if err != nil {
			text, _ := json.Marshal(strings.TrimSpace(string(out)))
			return fmt.Errorf("%w: %s", err, text)
		}
		return nil
	}
	if try() == nil {
		return smallPeer{"_crun", "crun run", func() []string { return m.found(command()) }}, nil
	}
	if err := try(hybridCgroups...); err != nil {
		return smallPeer{}, err
	}
	m.note("crun runs in a mount namespace without cgroup2, since it refuses hybrid cgroups: its times have that of unshare(1) and sh in them.")
	return smallPeer{"_crun", "crun run", func() []string { return m.found(command(hybridCgroups...)) }}, nil
}

// found gives a command its full path: the host program searches none.
func (m *measurement) found(argv []string) []string {
	if path, err := exec.LookPath(argv[0]); err == nil {
		argv[0] = path
	}
	return argv
}
