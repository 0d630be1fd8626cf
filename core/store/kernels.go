package store

import "path/filepath"

// SystemKernels is where kernels for the whole machine are: root's to write.
const SystemKernels = "/var/lib/microsandbox/kernels"

// Kernels returns where prepared guest kernels are looked for, the user's own
// directory first. It is a cache: a state directory that was given by option, often a
// temporary one, is no place for it.
func (l Location) Kernels() []string {
	own := ""
	switch {
	case l.MsbHome != "":
		own = l.MsbHome
	case filepath.IsAbs(l.XDGDataHome):
		own = filepath.Join(l.XDGDataHome, "microsandbox")
	case filepath.IsAbs(l.Home):
		own = filepath.Join(l.Home, ".local/share/microsandbox")
	case l.Dir != "":
		own = l.Dir
	default:
		dir, err := userDefault()
		if err != nil {
			return []string{SystemKernels}
		}
		own = dir
	}
	abs, err := filepath.Abs(filepath.Join(own, "kernels"))
	if err != nil {
		return []string{SystemKernels}
	}
	return []string{abs, SystemKernels}
}
