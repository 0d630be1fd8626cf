//go:build !amd64

package filters

var compiled []byte
