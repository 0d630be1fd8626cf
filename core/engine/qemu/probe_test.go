package qemu

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func TestVerdictIsOfThisBootAndThisKernel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kernels", "kvm.json")
	key := verdict{Boot: "b", QEMU: "q", Kernel: "k", UID: 1}
	_, ok := recall(path, key)
	assert.False(t, ok)
	bad := key
	bad.Problem = "it does not answer"
	bad.remember(path)
	got, ok := recall(path, key)
	require.True(t, ok)
	assert.ErrorContains(t, got.err(), "it does not answer")
	good := key
	good.Works = true
	good.remember(path)
	got, ok = recall(path, key)
	require.True(t, ok)
	assert.NoError(t, got.err())
	for _, other := range []verdict{{"c", "q", "k", 1, false, ""}, {"b", "r", "k", 1, false, ""}, {"b", "q", "l", 1, false, ""}, {"b", "q", "k", 2, false, ""}} {
		_, ok := recall(path, other)
		assert.False(t, ok, "%+v", other)
	}
	require.NoError(t, os.WriteFile(path, []byte("no JSON"), 0o600))
	_, ok = recall(path, key)
	assert.False(t, ok)
}

// Whatever this host has, the answer is one that a person can use, and stays the same.
func TestKVMAnswer(t *testing.T) {
	cfg := testConfig(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	first := New().(engine.Chooser).Usable(ctx, cfg)
	begin := time.Now()
	second := New().(engine.Chooser).Usable(ctx, cfg)
	if first == nil {
		assert.NoError(t, second)
		t.Log("KVM works here")
		return
	}
	assert.EqualError(t, second, first.Error())
	assert.Less(t, time.Since(begin), time.Second, "no second probe run")
	assert.Contains(t, []fault.Code{fault.Unsupported, fault.Permission}, fault.From(first).Code, "%v", first)
	_, err := New().Boot(ctx, cfg)
	assert.EqualError(t, err, first.Error(), "asked for by name it is the same")
	t.Log(first)
}

// A probe run finds out by itself: here one that must work, and one that cannot.
func TestProbeRun(t *testing.T) {
	cfg := testConfig(t)
	h, err := sandboxer{}.findHost(cfg)
	require.NoError(t, err)
	require.NoError(t, h.probe(t.Context(), limit))
	assert.ErrorContains(t, h.probe(t.Context(), 50*time.Millisecond), "no answer of the guest within 50ms")
	empty := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(empty, "vmlinux"), []byte("no kernel"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(empty, "modules.cpio"), nil, 0o644))
	broken := *h
	k := *h.kernel
	k.Dir = empty
	broken.kernel = &k
	assert.ErrorContains(t, broken.probe(t.Context(), limit), "QEMU: ")
}
