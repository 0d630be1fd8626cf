package pid1

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"/plain": "/plain", `/a\040b`: "/a b", `/back\134slash`: `/back\slash`, `/cut\04`: `/cut\04`, "": "",
	} {
		assert.Equal(t, want, unescape(in))
	}
}
