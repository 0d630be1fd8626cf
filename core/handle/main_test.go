package handle_test

import (
	"testing"

	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
