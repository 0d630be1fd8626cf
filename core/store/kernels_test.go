//go:build linux

package store

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestKernelsAreTheUsers(t *testing.T) {
	for want, l := range map[string]Location{
		"/m/kernels":                           {Dir: "/d", MsbHome: "/m", XDGDataHome: "/x", Home: "/h"},
		"/x/microsandbox/kernels":              {Dir: "/d", XDGDataHome: "/x", Home: "/h"},
		"/h/.local/share/microsandbox/kernels": {Dir: "/d", XDGDataHome: "relative", Home: "/h"},
		"/d/kernels":                           {Dir: "/d"},
	} {
		assert.Equal(t, []string{want, SystemKernels}, l.Kernels())
	}
	assert.Len(t, Location{}.Kernels(), 2)
}
