package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core"
)

// userFlag is UID[:GID]; the group is the user's number when it is not given.
type userFlag struct{ uid, gid uint32 }

func (u *userFlag) String() string { return fmt.Sprintf("%d:%d", u.uid, u.gid) }

func (u *userFlag) Set(text string) error {
	first, second, given := strings.Cut(text, ":")
	if !given {
		second = first
	}
	uid, err := strconv.ParseUint(first, 10, 32)
	gid, err2 := strconv.ParseUint(second, 10, 32)
	if err != nil || err2 != nil {
		return fmt.Errorf("%q is not UID or UID:GID, as numbers", text)
	}
	u.uid, u.gid = uint32(uid), uint32(gid)
	return nil
}

// umaskFlag is an octal number.
type umaskFlag struct{ mode *uint32 }

func (u *umaskFlag) String() string { return "" }

func (u *umaskFlag) Set(text string) error {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is not an octal number such as 027", text)
	}
	mode := uint32(n)
	u.mode = &mode
	return nil
}

// resources are the limits by name, at their Linux numbers.
var resources = []string{"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as"}

// ulimitFlag is NAME=SOFT[:HARD]; the last one of a name counts.
type ulimitFlag []core.Rlimit

func (u *ulimitFlag) String() string { return "" }

func (u *ulimitFlag) Set(text string) error {
	name, values, _ := strings.Cut(text, "=")
	resource := slices.Index(resources, name)
	if resource < 0 {
		return fmt.Errorf("%q is none of %s", name, strings.Join(resources, ", "))
	}
	first, second, given := strings.Cut(values, ":")
	if !given {
		second = first
	}
	soft, ok := limitValue(first)
	hard, ok2 := limitValue(second)
	if !ok || !ok2 {
		return fmt.Errorf("%q is not NAME=SOFT or NAME=SOFT:HARD, with numbers or \"unlimited\"", text)
	}
	*u = slices.DeleteFunc(*u, func(l core.Rlimit) bool { return l.Resource == uint32(resource) })
	*u = append(*u, core.Rlimit{Resource: uint32(resource), Soft: soft, Hard: hard})
	return nil
}

func limitValue(text string) (uint64, bool) {
	if text == "unlimited" {
		return math.MaxUint64, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}
