// vminit is the first process of the bare virtual machine that ours is measured
// beside: it prints and switches the machine off.
package main

import (
	"os"
	"syscall"
)

func main() {
	os.Stdout.WriteString("hello from vminit\n")
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
}
