package gvisor

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/errors"
	"gvisor.dev/gvisor/pkg/errors/linuxerr"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/sentry/kernel/auth"
	gvisorboot "gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/specutils"
)

const pinChanged = "the pinned gVisor has changed what its control server takes: adapt calls.go"

// fields is a value as JSON, field by field; null and absent are the same to gVisor.
func fields(t *testing.T, v any) map[string]any {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	all := map[string]any{}
	require.NoError(t, json.Unmarshal(data, &all))
	for name, value := range all {
		if value == nil || reflect.ValueOf(value).IsZero() {
			delete(all, name)
		}
	}
	return all
}

// The calls are those of the pinned gVisor: what is written here is what its own
// client would write.
func TestCallsAreGVisors(t *testing.T) {
	caps, err := specutils.Capabilities(false, theirSpec(t, &ociSpec{Process: ociProcess{Capabilities: ociCapabilities{
		Bounding: guestCaps, Effective: guestCaps, Permitted: guestCaps}}}).Process.Capabilities)
	require.NoError(t, err)
	theirs := &control.ExecArgs{
		Filename: "/bin/x", Argv: []string{"x", "y"}, Envv: []string{"A=b"}, WorkingDirectory: "/w",
		KUID: 5, KGID: 6, ExtraKGIDs: []auth.KGID{7, 8}, Capabilities: caps, StdioIsPty: true, ContainerID: "id",
	}
	theirs.GuestFDs = []int{0, 1, 2}
	ours := &execArgs{
		Filename: "/bin/x", Argv: []string{"x", "y"}, Envv: []string{"A=b"}, WorkingDirectory: "/w",
		KUID: 5, KGID: 6, ExtraKGIDs: []uint32{7, 8}, Capabilities: guestCapabilities(), StdioIsPty: true, ContainerID: "id",
		GuestFDs: []int{0, 1, 2},
	}
	assert.Equal(t, fields(t, theirs), fields(t, ours), pinChanged)

	link := gvisorboot.DefaultLoopbackLink
	assert.Equal(t, fields(t, &gvisorboot.CreateLinksAndRoutesArgs{LoopbackLinks: []gvisorboot.LoopbackLink{link}})["LoopbackLinks"],
		fields(t, loopback())["LoopbackLinks"], pinChanged)
	assert.Equal(t, fields(t, gvisorboot.WaitPIDArgs{PID: 3, CID: "id"}), fields(t, waitArgs{PID: 3, CID: "id"}), pinChanged)
	assert.Equal(t, fields(t, control.MemoryUsageOpts{Full: true}), fields(t, memoryUsageArgs{Full: true}), pinChanged)
	assert.Equal(t, fields(t, control.MemoryUsageFileOpts{Version: 1}), fields(t, usageFileArgs{Version: 1}), pinChanged)
	for mode, name := range map[gvisorboot.SignalDeliveryMode]int{
		gvisorboot.DeliverToProcess: toProcess, gvisorboot.DeliverToAllProcesses: toAll, gvisorboot.DeliverToForegroundProcessGroup: toForeground,
	} {
		assert.Equal(t, fields(t, gvisorboot.SignalArgs{CID: "id", Signo: 15, PID: 3, Mode: mode}),
			fields(t, signalArgs{CID: "id", Signo: 15, PID: 3, Mode: name}), pinChanged)
	}
}

func TestMethodsAreGVisors(t *testing.T) {
	for ours, theirs := range map[string]string{
		methodExecute: gvisorboot.ContMgrExecuteAsync, methodWait: gvisorboot.ContMgrWaitPID, methodSignal: gvisorboot.ContMgrSignal,
		methodList: gvisorboot.ContMgrProcesses, methodEvent: gvisorboot.ContMgrEvent, methodNetwork: gvisorboot.ContMgrSetNetworkArgs,
		methodStart: gvisorboot.ContMgrRootContainerStart, methodUsage: gvisorboot.UsageCollect, methodUsageFDs: gvisorboot.UsageUsageFD,
	} {
		assert.Equal(t, theirs, ours, pinChanged)
	}
}

// carried is what arrives in ours of what gVisor writes of theirs.
func carried(t *testing.T, theirs, ours any) {
	t.Helper()
	data, err := json.Marshal(theirs)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, ours))
}

func TestAnswersAreGVisors(t *testing.T) {
	var event eventOut
	theirs := gvisorboot.EventOut{ContainerUsage: map[string]uint64{"id": 7}}
	theirs.Event.Data.NetworkInterfaces = []*gvisorboot.NetworkInterface{{Name: "eth0", RxBytes: 1, TxBytes: 2}}
	carried(t, theirs, &event)
	assert.Equal(t, theirs.ContainerUsage, event.ContainerUsage, pinChanged)
	require.Len(t, event.Event.Data.NetworkInterfaces, 1, pinChanged)
	n := event.Event.Data.NetworkInterfaces[0]
	assert.Equal(t, []any{"eth0", uint64(1), uint64(2)}, []any{n.Name, n.RxBytes, n.TxBytes}, pinChanged)

	var list []listedProcess
	carried(t, []*control.Process{{PID: 5}}, &list)
	assert.Equal(t, []listedProcess{{PID: 5}}, list, pinChanged)

	var memory memoryUsage
	carried(t, control.MemoryUsage{Tmpfs: 9}, &memory)
	assert.Equal(t, memoryUsage{Tmpfs: 9}, memory, pinChanged)
}

func TestStartErrorsAreGVisors(t *testing.T) {
	for _, e := range []*errors.Error{
		linuxerr.ENOENT, linuxerr.EACCES, linuxerr.ENOEXEC, linuxerr.ENOTDIR, linuxerr.EISDIR, linuxerr.ELOOP,
		linuxerr.ENAMETOOLONG, linuxerr.EPERM, linuxerr.E2BIG, linuxerr.ENOMEM, linuxerr.EIO, linuxerr.EINVAL, linuxerr.ETXTBSY,
		linuxerr.ELIBBAD, linuxerr.EFAULT, linuxerr.EMFILE, linuxerr.ENFILE, linuxerr.EAGAIN, linuxerr.ENODEV, linuxerr.ESTALE,
	} {
		found := false
		for errno, said := range startErrors {
			if said == e.Error() {
				found = uint32(errno) == uint32(e.Errno())
			}
		}
		assert.True(t, found, "%v: %s", e, "the pinned gVisor says something else: adapt startErrors")
	}
}
