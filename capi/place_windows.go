package main

import (
	"os"

	"github.com/libmicrosandbox/microsandbox/core"
)

// completePlace reads the environment, which Go asks the system for at each call and
// gets as UTF-8.
func completePlace(state core.State) core.State {
	if state.Dir == "" {
		state.MsbHome = os.Getenv("MSB_HOME")
	}
	return state
}
