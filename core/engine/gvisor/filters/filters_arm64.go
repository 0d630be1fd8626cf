package filters

import _ "embed"

//go:embed arm64.json
var compiled []byte
