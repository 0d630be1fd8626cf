package mounts

// Entry is one mount on its way to the supervisor. The descriptors travel
// beside the entries, as a list.
type Entry struct {
	Spec Spec `json:"spec"`
	// FD is an index into the list of descriptors; -1 for none.
	FD int `json:"fd"`
	// Dev and Ino say which file was opened: descriptors in a wrong order are noticed.
	Dev uint64 `json:"dev,omitempty"`
	Ino uint64 `json:"ino,omitempty"`
}

// Specs are the descriptions in entries: what another start opens anew.
func Specs(entries []Entry) []Spec {
	var specs []Spec
	for _, e := range entries {
		specs = append(specs, e.Spec)
	}
	return specs
}

// Planned are sources of which only the description is known: nothing is open.
func Planned(entries []Entry) []*Source {
	var sources []*Source
	for _, e := range entries {
		sources = append(sources, &Source{Spec: e.Spec})
	}
	return sources
}
