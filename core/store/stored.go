package store

import "encoding/json"

// Stored is what is kept of a named sandbox between its runs. Only its living
// supervisor, or who holds the claim on its name, writes it.
type Stored struct {
	Version   int             `json:"version"`
	Name      string          `json:"name"`
	Labels    []string        `json:"labels,omitempty"`
	Config    json.RawMessage `json:"config"`
	CreatedMS int64           `json:"created_unix_ms"`
	CreatedBy string          `json:"created_by"` // id of the first run
	Runs      int             `json:"runs"`
	Running   bool            `json:"running"`    // a supervisor set it and did not live to clear it: crashed
	LastCause uint32          `json:"last_cause"` // MSB_CAUSE_* of the last run
	EndedMS   int64           `json:"ended_unix_ms"`
}
