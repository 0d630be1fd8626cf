package header

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// layout is what the bindings compare their own declarations with.
type layout struct {
	Constants map[string]int64      `json:"constants"`
	Structs   map[string]structSize `json:"structs"`
	Functions []string              `json:"functions"`
}

type structSize struct {
	Size   int64            `json:"size"`
	Align  int64            `json:"align"`
	Fields map[string]field `json:"fields"`
}

type field struct {
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
}

var (
	comments  = regexp.MustCompile(`(?s)/\*.*?\*/`)
	constants = regexp.MustCompile(`(?m)^#define (MSB_\w+)[ ]+\(?[-0-9(]`)
	structs   = regexp.MustCompile(`(?s)typedef struct (msb_\w+) \{(.*?)\} msb_\w+;`)
	fields    = regexp.MustCompile(`(\w+)(?:\[\w+\])?;`)
	functions = regexp.MustCompile(`(?m)^MSB_API [\w *]*?(msb_\w+)\(`)
)

// program writes a C program that prints the layout as JSON. It is made from
// the header, so no constant and no field can be left out.
func program(header string) string {
	var c strings.Builder
	c.WriteString("#include \"microsandbox.h\"\n#include <stddef.h>\n#include <stdio.h>\nint main(void)\n{\n\tputs(\"{\\\"constants\\\":{\");\n")
	comma := ""
	for _, m := range constants.FindAllStringSubmatch(header, -1) {
		fmt.Fprintf(&c, "\tprintf(\"%s\\\"%s\\\":%%lld\\n\", (long long)%s);\n", comma, m[1], m[1])
		comma = ","
	}
	c.WriteString("\tputs(\"},\\\"structs\\\":{\");\n")
	comma = ""
	for _, m := range structs.FindAllStringSubmatch(header, -1) {
		fmt.Fprintf(&c, "\t{ struct align { char c; %s s; };\n", m[1])
		fmt.Fprintf(&c, "\tprintf(\"%s\\\"%s\\\":{\\\"size\\\":%%d,\\\"align\\\":%%d,\\\"fields\\\":{\\n\", (int)sizeof(%s), (int)offsetof(struct align, s)); }\n", comma, m[1], m[1])
		comma = ","
		inner := ""
		for _, f := range fields.FindAllStringSubmatch(m[2], -1) {
			fmt.Fprintf(&c, "\tprintf(\"%s\\\"%s\\\":{\\\"offset\\\":%%d,\\\"size\\\":%%d}\\n\", (int)offsetof(%s, %s), (int)sizeof(((%s *)0)->%s));\n",
				inner, f[1], m[1], f[1], m[1], f[1])
			inner = ","
		}
		c.WriteString("\tputs(\"}}\");\n")
	}
	c.WriteString("\tputs(\"},\\\"functions\\\":[\");\n")
	comma = ""
	for _, m := range functions.FindAllStringSubmatch(header, -1) {
		fmt.Fprintf(&c, "\tputs(\"%s\\\"%s\\\"\");\n", comma, m[1])
		comma = ","
	}
	c.WriteString("\tputs(\"]}\");\n\treturn 0;\n}\n")
	return c.String()
}

// readLayout compiles and runs the program.
func readLayout(t *testing.T) (layout, []byte) {
	t.Helper()
	source := write(t, "layout.c", program(comments.ReplaceAllString(wholeHeader(t), "")))
	binary := filepath.Join(t.TempDir(), "layout")
	out, err := exec.Command("gcc", append(warnings[:len(warnings):len(warnings)], "-std=c99", "-o", binary, source)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	text, err := exec.Command(binary).Output()
	require.NoError(t, err)
	var l layout
	require.NoError(t, json.Unmarshal(text, &l), "%s", text)
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, text, "", "  "))
	return l, pretty.Bytes()
}

// A change of layout.json is a change of the ABI: fields may be added at the
// end of a struct and constants and functions may be added, nothing else.
func TestLayoutIsTheRecordedOne(t *testing.T) {
	_, text := readLayout(t)
	require.NoError(t, os.MkdirAll(root+"/build", 0o755))
	require.NoError(t, os.WriteFile(root+"/build/layout.json", text, 0o644))
	if os.Getenv("MSB_UPDATE_ABI") != "" {
		require.NoError(t, os.WriteFile("layout.json", text, 0o644))
	}
	recorded, err := os.ReadFile("layout.json")
	require.NoError(t, err)
	assert.JSONEq(t, string(recorded), string(text), "the ABI changed: if that is meant, run `make abi-update`")
}

func TestLayoutHoldsTheWholeHeader(t *testing.T) {
	l, _ := readLayout(t)
	text := comments.ReplaceAllString(wholeHeader(t), "")
	assert.Len(t, l.Functions, strings.Count(text, "MSB_API ")-strings.Count(text, "define MSB_API "))
	assert.Len(t, l.Structs, strings.Count(text, "typedef struct"))
	for name, s := range l.Structs {
		var sum int64
		for _, f := range s.Fields {
			sum += f.Size
		}
		assert.Equal(t, s.Size, sum, "%s: every byte belongs to a field", name)
		if first, ok := s.Fields["size"]; ok {
			assert.Zero(t, first.Offset, "%s starts with its size", name)
		}
	}
	assert.EqualValues(t, 8, l.Structs["msb_outcome"].Align)
}

func TestNumbersAreThoseOfTheGoSide(t *testing.T) {
	l, _ := readLayout(t)
	want := map[string]int64{
		"MSB_OK": int64(fault.OK), "MSB_E_INVALID": int64(fault.Invalid), "MSB_E_HANDLE": int64(fault.Handle),
		"MSB_E_STATE": int64(fault.State), "MSB_E_TIMED_OUT": int64(fault.TimedOut), "MSB_E_CANCELED": int64(fault.Canceled),
		"MSB_E_CLOSED": int64(fault.Closed), "MSB_E_NOT_FOUND": int64(fault.NotFound), "MSB_E_EXISTS": int64(fault.Exists),
		"MSB_E_PERMISSION": int64(fault.Permission), "MSB_E_UNSUPPORTED": int64(fault.Unsupported), "MSB_E_LIMIT": int64(fault.Limit),
		"MSB_E_TOO_NEW": int64(fault.TooNew), "MSB_E_SETUP": int64(fault.Setup), "MSB_E_EXEC": int64(fault.Exec),
		"MSB_E_IO": int64(fault.IO), "MSB_E_FORKED": int64(fault.Forked), "MSB_E_LAUNCH": int64(fault.Launch),
		"MSB_E_BOOT": int64(fault.Boot), "MSB_E_DONE": int64(fault.Done), "MSB_E_GONE": int64(fault.Gone),
		"MSB_E_BUFFER": int64(fault.Buffer), "MSB_E_INTERNAL": int64(fault.Internal),

		"MSB_STAGE_NONE": int64(fault.NoStage), "MSB_STAGE_ARGUMENT": int64(fault.StageArgument),
		"MSB_STAGE_LAUNCH": int64(fault.StageLaunch), "MSB_STAGE_CONFIG": int64(fault.StageConfig),
		"MSB_STAGE_STATE": int64(fault.StageState), "MSB_STAGE_ROOT": int64(fault.StageRoot),
		"MSB_STAGE_ENGINE": int64(fault.StageEngine), "MSB_STAGE_CONTROL": int64(fault.StageControl),
		"MSB_STAGE_EXEC": int64(fault.StageExec), "MSB_STAGE_CWD": int64(fault.StageCwd), "MSB_STAGE_STDIO": int64(fault.StageStdio),

		"MSB_ENGINE_AUTO": int64(core.EngineAuto), "MSB_ENGINE_GVISOR": int64(core.EngineGvisor),
		"MSB_ENGINE_QEMU": int64(core.EngineQEMU), "MSB_ENGINE_QEMU_TCG": int64(core.EngineTCG), "MSB_ENGINE_JOB": int64(core.EngineJob),
		"MSB_ROOT_HOST": int64(image.Host), "MSB_ROOT_DIR": int64(image.Dir), "MSB_ROOT_EROFS": int64(image.EROFS),
		"MSB_STATE_STARTING": int64(handle.StateStarting), "MSB_STATE_RUNNING": int64(handle.StateRunning),
		"MSB_STATE_DRAINING": int64(handle.StateDraining), "MSB_STATE_STOPPED": int64(handle.StateStopped),
		"MSB_INFO_ATTACHED": int64(core.FlagAttached), "MSB_INFO_OWNER": int64(core.FlagOwner),
		"MSB_STDIO_NULL": int64(core.StdioNull), "MSB_STDIO_PIPE": int64(core.StdioPipe),
		"MSB_STDIO_FD": int64(core.StdioFD), "MSB_STDIO_INHERIT": int64(core.StdioInherit),
		"MSB_STDIO_LOG": int64(core.StdioLog), "MSB_STDIO_PTY": int64(core.StdioPty),

		"MSB_CAUSE_UNKNOWN": int64(handle.CauseUnknown), "MSB_CAUSE_EXITED": int64(handle.CauseExited),
		"MSB_CAUSE_SIGNALED": int64(handle.CauseSignaled), "MSB_CAUSE_SANDBOX_ENDED": int64(handle.CauseSandboxEnded),
		"MSB_CAUSE_STOPPED": int64(handle.CauseStopped), "MSB_CAUSE_DRAINED": int64(handle.CauseDrained),
		"MSB_CAUSE_KILLED": int64(handle.CauseKilled), "MSB_CAUSE_OWNER_GONE": int64(handle.CauseOwnerGone),
		"MSB_CAUSE_MEMORY_LIMIT": int64(handle.CauseMemoryLimit), "MSB_CAUSE_CRASHED": int64(handle.CauseCrashed),
		"MSB_CAUSE_START_FAILED": int64(handle.CauseStartFailed), "MSB_CAUSE_IDLE_TIMEOUT": int64(handle.CauseIdleTimeout),
		"MSB_CAUSE_MAX_DURATION": int64(handle.CauseMaxDuration), "MSB_STATE_CRASHED": int64(handle.StateCrashed),
		"MSB_INFO_STORED": int64(core.FlagStored), "MSB_INFO_POOLED": int64(core.FlagPooled), "MSB_CAUSE_WALL_LIMIT": int64(handle.CauseWallLimit),
		"MSB_CAUSE_CPU_LIMIT": int64(handle.CauseCPULimit), "MSB_CAUSE_FILE_LIMIT": int64(handle.CauseFileLimit),
		"MSB_CAUSE_CPU_TIME": int64(handle.CauseCPUTime), "MSB_CAUSE_OUTPUT_LIMIT": int64(handle.CauseOutputLimit),

		"MSB_LIMIT_MEMORY": int64(handle.LimitHitMemory), "MSB_LIMIT_CPU_TIME": int64(handle.LimitHitCPUTime),
		"MSB_LIMIT_WALL_TIME": int64(handle.LimitHitWallTime), "MSB_LIMIT_PROCESSES": int64(handle.LimitHitProcesses),
		"MSB_LIMIT_OUTPUT": int64(handle.LimitHitOutput), "MSB_LIMIT_FILE_SIZE": int64(handle.LimitHitFileSize),
		"MSB_LIMIT_OVERLAY": int64(handle.LimitHitOverlay), "MSB_LIMIT_OPEN_FILES": int64(handle.LimitHitOpenFiles),
	}
	got := map[string]int64{}
	for name, value := range l.Constants {
		for _, group := range []string{"MSB_OK", "MSB_E_", "MSB_STAGE_", "MSB_ENGINE_", "MSB_ROOT_", "MSB_STATE_", "MSB_INFO_", "MSB_STDIO_", "MSB_CAUSE_", "MSB_LIMIT_"} {
			if strings.HasPrefix(name, group) {
				got[name] = value
			}
		}
	}
	assert.Equal(t, want, got)
	version := l.Constants
	assert.Equal(t, version["MSB_VERSION_MAJOR"]<<16|version["MSB_VERSION_MINOR"]<<8|version["MSB_VERSION_PATCH"], version["MSB_VERSION"])
}
