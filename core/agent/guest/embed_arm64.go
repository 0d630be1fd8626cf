package guest

import _ "embed"

// Agent is the agent's static ELF file.
//
//go:embed agent_arm64
var Agent []byte
