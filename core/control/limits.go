package control

import "time"

// Limits of a sandbox besides memory and overlay. Zero is the engine's default in a
// configuration, and none in a reply.
type Limits struct {
	CPUPermille uint32        `json:"cpu_permille,omitempty"` // processor time per time; 1000 is one processor
	CPUWeight   uint32        `json:"cpu_weight,omitempty"`   // 1 to 10000; others have 100
	CPUTime     time.Duration `json:"cpu_time_ns,omitempty"`  // of all programs together
	Processes   uint32        `json:"processes,omitempty"`    // threads and zombies included
	OpenFiles   uint32        `json:"open_files,omitempty"`   // of each process
}
