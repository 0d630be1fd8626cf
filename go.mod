module github.com/libmicrosandbox/microsandbox

go 1.26

require (
	golang.org/x/sys v0.42.0
	gvisor.dev/gvisor v0.0.0-20260905035102-160fafc42237
)
