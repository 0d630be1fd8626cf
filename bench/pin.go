package main

import (
	"debug/buildinfo"
	"fmt"
)

// samePin refuses to compare two programs that were built from different
// versions of a module.
func samePin(a, b, module string) error {
	versions := make([]string, 2)
	for i, path := range []string{a, b} {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s: %w: run make bench", path, err)
		}
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path != module {
				continue
			}
			versions[i] = m.Version
			if m.Replace != nil {
				versions[i] += " replaced by " + m.Replace.Path + " " + m.Replace.Version
			}
		}
		if versions[i] == "" {
			return fmt.Errorf("%s: does not contain %s", path, module)
		}
	}
	if versions[0] != versions[1] {
		return fmt.Errorf("%s has %s, %s has %s: rebuild both", a, versions[0], b, versions[1])
	}
	return nil
}
