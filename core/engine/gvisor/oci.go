package gvisor

// ociVersion is that of the specification that ociSpec is a part of.
const ociVersion = "1.2.0"

// The part of an OCI runtime specification (version 1.x, config.json) that a machine
// has. encoding/json looks at all types below the one that it writes before it writes
// anything: those of the whole specification, Windows and Solaris among them, cost a
// millisecond of processor time at each boot.
type (
	ociSpec struct {
		Version     string            `json:"ociVersion"`
		Process     ociProcess        `json:"process"`
		Root        ociRoot           `json:"root"`
		Hostname    string            `json:"hostname"`
		Mounts      []ociMount        `json:"mounts"`
		Annotations map[string]string `json:"annotations,omitempty"`
		Linux       ociLinux          `json:"linux"`
	}
	ociProcess struct {
		Args            []string        `json:"args"`
		Cwd             string          `json:"cwd"`
		Capabilities    ociCapabilities `json:"capabilities"`
		NoNewPrivileges bool            `json:"noNewPrivileges"`
	}
	ociCapabilities struct {
		Bounding  []string `json:"bounding"`
		Effective []string `json:"effective"`
		Permitted []string `json:"permitted"`
	}
	ociRoot struct {
		Path string `json:"path"`
	}
	ociMount struct {
		Destination string   `json:"destination"`
		Type        string   `json:"type"`
		Source      string   `json:"source,omitempty"`
		Options     []string `json:"options,omitempty"`
	}
	ociLinux struct {
		Namespaces  []ociNamespace `json:"namespaces"`
		UIDMappings []ociIDMapping `json:"uidMappings"`
		GIDMappings []ociIDMapping `json:"gidMappings"`
	}
	ociNamespace struct {
		Type string `json:"type"`
	}
	ociIDMapping struct {
		ContainerID uint32 `json:"containerID"`
		HostID      uint32 `json:"hostID"`
		Size        uint32 `json:"size"`
	}
)
