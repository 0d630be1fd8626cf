package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

const (
	// probeTime bounds a probe run: a boot with KVM takes a fraction of a second.
	probeTime = 5 * time.Second
	// probeMemory is the memory of a probe's guest, in bytes.
	probeMemory = 128 << 20
)

// verdict is what a probe run has shown. It holds until the host boots again, or QEMU
// or the guest's kernel change.
type verdict struct {
	Boot    string `json:"boot"`   // the host's boot id
	QEMU    string `json:"qemu"`   // the binary's identity
	Kernel  string `json:"kernel"` // the prepared kernel's hash
	UID     int    `json:"uid"`    // who asked
	Works   bool   `json:"works"`
	Problem string `json:"problem,omitempty"`
}

// key is a verdict's without its result.
func (h *host) key() (verdict, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return verdict{}, err
	}
	var st unix.Stat_t
	if err := unix.Stat(h.binary, &st); err != nil {
		return verdict{}, err
	}
	identity := fmt.Sprintf("%s %x-%x-%x-%x", h.binary, st.Dev, st.Ino, st.Size, st.Mtim.Nano())
	return verdict{Boot: strings.TrimSpace(string(boot)), QEMU: identity, Kernel: h.kernel.Hash, UID: os.Geteuid()}, nil
}

// verdictFile is in the directory of kernels, which is the user's own.
func verdictFile(cfg engine.Config) string {
	if len(cfg.Kernels) == 0 {
		return ""
	}
	return filepath.Join(cfg.Kernels[0], "kvm.json")
}

// needKVM returns why KVM cannot be used; nil when a probe run has worked. What an
// earlier probe run of this boot of the host has shown is taken, so that the answer is
// the same each time and costs no time.
func (h *host) needKVM(ctx context.Context, cfg engine.Config) error {
	if err := kvmAccess(); err != nil {
		return err
	}
	v, err := h.key()
	if err != nil {
		return fault.Wrap(err, fault.IO, fault.StageEngine, "engine qemu")
	}
	path := verdictFile(cfg)
	if known, ok := recall(path, v); ok {
		return known.err()
	}
	err = h.probe(ctx, probeTime)
	if ctx.Err() != nil {
		return err // of this attempt, not of the host
	}
	v.Works = err == nil
	if err != nil {
		v.Problem = err.Error()
	}
	v.remember(path)
	return v.err()
}

func (v verdict) err() error {
	if v.Works {
		return nil
	}
	return fault.New(fault.Unsupported, fault.StageEngine,
		"engine qemu: KVM on this host cannot run the guest's kernel: %s; engine qemu-tcg does without KVM and is slow", v.Problem)
}

func recall(path string, key verdict) (verdict, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return verdict{}, false
	}
	var v verdict
	if json.Unmarshal(data, &v) != nil {
		return verdict{}, false
	}
	same := v
	same.Works, same.Problem = false, ""
	return v, same == key
}

// remember is best effort: without it the next one probes again.
func (v verdict) remember(path string) {
	data, err := json.Marshal(v)
	if err != nil || path == "" || os.MkdirAll(filepath.Dir(path), 0o755) != nil {
		return
	}
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if os.WriteFile(tmp, data, 0o600) != nil || os.Rename(tmp, path) != nil {
		os.Remove(tmp)
	}
}

// Forget makes the next use of KVM probe again.
func Forget(kernels []string) {
	if path := verdictFile(engine.Config{Kernels: kernels}); path != "" {
		os.Remove(path)
	}
}

// probe boots a guest until its agent answers.
func (h *host) probe(ctx context.Context, limit time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m, err := h.start(probeMemory, nil, func(string, ...any) {})
	if err != nil {
		return err
	}
	_, err = m.client.Hello(bounded)
	if err == nil {
		m.Close()
		return nil
	}
	// Why it does not answer is asked before it is closed.
	select {
	case <-m.done:
		m.Close()
		return errors.New(m.lastWords())
	case <-time.After(lostAgent):
	case <-bounded.Done():
	}
	m.Close()
	if line := m.stderr.problem(); line != "" {
		return fmt.Errorf("QEMU: %s", line)
	}
	if line := m.console.lastLine(); line != "" {
		return fmt.Errorf("no answer of the guest within %v; its console: %s", limit, line)
	}
	return fmt.Errorf("no answer of the guest within %v, and nothing on its console", limit)
}
