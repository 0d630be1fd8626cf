package qemu

import "context"

// Pools marks an engine.Pooler.
func (sandboxer) Pools() {}

// Healthy asks the guest, which answers when its kernel and agent do.
func (m *machine) Healthy(ctx context.Context) error {
	_, err := m.client.Usage(ctx)
	return err
}

// Moved has nothing to do: a machine has no file in Config.Dir.
func (m *machine) Moved(string) {}
