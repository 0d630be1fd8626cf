package guest

import _ "embed"

// Launcher is the launcher's static ELF file.
//
//go:embed launcher_amd64
var Launcher []byte
