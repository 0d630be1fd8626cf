// Command gen compiles the system call filters for this processor and writes
// them beside package filters: run it with go generate, and for another processor
// with
//
//	GOARCH=arm64 go run -exec qemu-aarch64-static ./gen
package main

import (
	"encoding/json"
	"log"
	"os"
	"runtime"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/filters/compile"
)

func main() {
	set, err := compile.All()
	if err != nil {
		log.Fatal(err)
	}
	data, err := json.Marshal(set)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(runtime.GOARCH+".json", append(data, '\n'), 0o644); err != nil {
		log.Fatal(err)
	}
}
