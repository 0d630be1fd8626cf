package filters

import _ "embed"

//go:embed amd64.json
var compiled []byte
