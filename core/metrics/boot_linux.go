package metrics

import (
	"bytes"
	"hash/fnv"
	"os"
	"sync"
)

// bootHash tells this boot of the kernel from others: process ids and start times
// mean something only within one.
var bootHash = sync.OnceValue(func() uint64 {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	h := fnv.New64a()
	h.Write(bytes.TrimSpace(id))
	return h.Sum64()
})
