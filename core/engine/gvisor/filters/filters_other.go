//go:build !amd64 && !arm64

package filters

var compiled []byte
