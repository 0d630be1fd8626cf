package main

import "context"

// poolSize leaves one sandbox ready while the successor of another boots.
const poolSize = "2"

// pooled measures sandboxes that were booted ahead, beside stock runs, in turns.
func (m *measurement) pooled(context.Context) ([]figure, error) {
	if _, err := m.host.ask("fill", poolSize, "erofs", m.roots.erofs); err != nil {
		return nil, err
	}
	stock := m.stock("erofs")
	ours, peer, err := m.inTurns(
		func() ([]float64, error) { return m.host.ask("pooled", "/bin/echo", "hi") },
		func() ([]float64, error) { return m.onPeer(0, 0, stock.command()) },
	)
	if err != nil {
		return nil, err
	}
	take := figure{name: "pooled_take", unit: "ms"}
	take.ours, _ = compare(ours[0], ours[0], milliseconds)
	first := figure{name: "pooled_create_to_first_output", unit: "ms", peerName: stock.name, goal: goalPooled}
	first.ours, first.peer = compare(ours[1], peer[0], milliseconds)
	closed := figure{name: "pooled_create_to_closed", unit: "ms", peerName: stock.name}
	closed.ours, closed.peer = compare(ours[2], peer[1], milliseconds)
	_, err = m.host.ask("empty")
	return []figure{take, first, closed}, err
}
