package mounts

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func TestValidateTargets(t *testing.T) {
	long := "/" + strings.Repeat("n", maxName)
	deepest := strings.Repeat("/"+strings.Repeat("n", 90), 45) // 4095 bytes
	for target, want := range map[string]string{
		"/data": "", "/data/x": "", "/procfs": "", "/device": "", "/x/proc": "", "/a..b/...": "", "/tmp": "",
		"/a\xff\nb": "", long: "", deepest: "",
		"": "target is missing", "data": "must be absolute", "./data": "must be absolute", "../data": "must be absolute",
		"/": "root file system", "//": `write it as "/"`, "/data/": `write it as "/data"`, "//data": `write it as "/data"`,
		"/a//b": `write it as "/a/b"`, "/./a": `write it as "/a"`, "/a/../b": `".." is not allowed`, "/..": `".." is not allowed`,
		"/a/..": `".." is not allowed`, "/a\x00b": "NUL byte", "/proc": "/proc belongs", "/proc/self": "/proc belongs",
		"/sys/fs": "/sys belongs", "/dev": "/dev belongs", "/dev/shm": "/dev belongs",
		"/.own": "/own/files belongs", "/own/files/x": "/own/files belongs", "/own": "/own/files belongs",
		long + "n": "256 bytes in the path", deepest + "n": "4096 bytes",
	} {
		reserved := "/own/files"
		if target == "/.own" {
			target = reserved
		}
		_, err := Validate([]Spec{{Source: "/src", Target: target}}, reserved)
		if want == "" {
			require.NoError(t, err, "%q", target)
			continue
		}
		refused(t, err, fault.Invalid, want)
		if target != "" {
			require.Contains(t, err.Error(), fmt.Sprintf("mount %q", target))
		}
	}
}

func TestValidateKindsAndSizes(t *testing.T) {
	at := "/t"
	for name, c := range map[string]struct {
		spec Spec
		want string // "" is valid
	}{
		"bind":                  {Spec{Source: "/s", Target: at}, ""},
		"bind, .. in source":    {Spec{Source: "/s/../s", Target: at}, ""},
		"bind without source":   {Spec{Target: at}, "source is missing"},
		"bind, relative source": {Spec{Source: "s", Target: at}, "must be absolute"},
		"bind, NUL in source":   {Spec{Source: "/s\x00", Target: at}, "NUL byte"},
		"bind, long name":       {Spec{Source: "/" + strings.Repeat("n", 256), Target: at}, "256 bytes in the path"},
		"bind with size":        {Spec{Source: "/s", Target: at, SizeBytes: 1}, "only a tmpfs has a size"},
		"erofs":                 {Spec{Kind: EROFS, Source: "/s", Target: at}, ""},
		"erofs without source":  {Spec{Kind: EROFS, Target: at}, "source is missing"},
		"erofs with size":       {Spec{Kind: EROFS, Source: "/s", Target: at, SizeBytes: 1}, "only a tmpfs has a size"},
		"tmpfs":                 {Spec{Kind: Tmpfs, Target: at}, ""},
		"tmpfs, smallest":       {Spec{Kind: Tmpfs, Target: at, SizeBytes: MinTmpfs}, ""},
		"tmpfs, too small":      {Spec{Kind: Tmpfs, Target: at, SizeBytes: MinTmpfs - 1}, "between"},
		"tmpfs, largest":        {Spec{Kind: Tmpfs, Target: at, SizeBytes: MaxTmpfs}, ""},
		"tmpfs, too large":      {Spec{Kind: Tmpfs, Target: at, SizeBytes: 1<<64 - 1}, "between"},
		"tmpfs with source":     {Spec{Kind: Tmpfs, Source: "/s", Target: at}, "has no source"},
		"unknown kind":          {Spec{Kind: 4, Target: at}, "no kind 4"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Validate([]Spec{c.spec})
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			refused(t, err, fault.Invalid, c.want)
		})
	}
}

func TestValidateFillsInDefaults(t *testing.T) {
	specs, err := Validate([]Spec{{Kind: Tmpfs, Target: "/t"}, {Kind: EROFS, Source: "/i", Target: "/e"}})
	require.NoError(t, err)
	require.Equal(t, uint64(DefaultTmpfs), specs[0].SizeBytes)
	require.True(t, specs[1].ReadOnly)
	again, err := Validate(specs)
	require.NoError(t, err)
	require.Equal(t, specs, again, "what is validated stays as it is")
}

func TestValidateOrdersParentsFirst(t *testing.T) {
	var in []Spec
	for _, target := range []string{"/a/b/c", "/z", "/a/b", "/a", "/y/x"} {
		in = append(in, Spec{Kind: Tmpfs, Target: target})
	}
	specs, err := Validate(in)
	require.NoError(t, err)
	var got []string
	for _, s := range specs {
		got = append(got, s.Target)
	}
	require.Equal(t, []string{"/z", "/a", "/a/b", "/y/x", "/a/b/c"}, got)
	require.Equal(t, "/a/b/c", in[0].Target, "the caller's list is left alone")
}

func TestValidateRefusesTwins(t *testing.T) {
	_, err := Validate([]Spec{{Kind: Tmpfs, Target: "/a"}, {Kind: Tmpfs, Target: "/b"}, {Source: "/s", Target: "/a"}})
	refused(t, err, fault.Invalid, `mount "/a": two mounts`)
}

func TestValidateBoundsTheirNumber(t *testing.T) {
	var specs []Spec
	for i := range MaxMounts {
		specs = append(specs, Spec{Kind: Tmpfs, Target: fmt.Sprintf("/%d", i)})
	}
	_, err := Validate(specs)
	require.NoError(t, err)
	_, err = Validate(append(specs, Spec{Kind: Tmpfs, Target: "/one-more"}))
	refused(t, err, fault.Limit, "65 mounts")
}

func TestSpecKeepsEveryByteOnTheWire(t *testing.T) {
	var every []byte
	for b := 1; b < 256; b++ {
		every = append(every, byte(b))
	}
	want := Spec{EROFS, "/" + string(every), "/t" + string(every), true, true, true, true, true, 7}
	data, err := json.Marshal(want)
	require.NoError(t, err)
	var got Spec
	require.NoError(t, json.Unmarshal(data, &got))
	require.Equal(t, want, got)
	require.Error(t, json.Unmarshal([]byte(`{"target":7}`), &got))
}

// refused checks an error's code and text, and that it is one line.
func refused(t testing.TB, err error, code fault.Code, text string) {
	t.Helper()
	var e *fault.Error
	require.True(t, errors.As(err, &e), "%v", err)
	require.Contains(t, e.Message, text)
	require.Equal(t, code, e.Code, e.Message)
	require.NotContains(t, e.Message, "\n")
}
