// Package guest holds the guest agent's executable, /init of the initramfs of an engine
// whose machines have a kernel of their own. The agent is core/agent/guest/pid1;
// build.sh makes the executable.
package guest

//go:generate ./build.sh
