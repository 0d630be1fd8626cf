package metrics

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/tests/subprocess"
)

var errLimit = &fault.Error{Code: fault.Limit}

// fillFileSystem, in a mount namespace of its own, reserves in a file system of
// two pages until it is full.
func fillFileSystem(dir string, me Process) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprint("mode=700,size=", 2*os.Getpagesize())); err != nil {
		return err
	}
	reg, err := Open(dir, 0)
	if err != nil {
		return err
	}
	var writers []*Writer
	for i := 0; ; i++ {
		token, err := reg.Reserve(fmt.Sprint("box-", i), "id", Limits{}, me)
		if errors.Is(err, errLimit) && errors.Is(err, unix.ENOSPC) {
			break
		}
		if err != nil || i > 100 {
			return fmt.Errorf("reservation %d: %w", i, err)
		}
		w, err := reg.Activate(token, me)
		if err != nil {
			return err
		}
		writers = append(writers, w)
	}
	for _, w := range writers { // has its memory already
		if err := w.Write(patterned(1)); err != nil {
			return err
		}
	}
	if entries, err := reg.Active(); err != nil || len(entries) != len(writers) || len(writers) < 2 {
		return fmt.Errorf("%d of %d: %w", len(entries), len(writers), err)
	}
	if err := writers[0].Release(false); err != nil {
		return err
	}
	if _, err := reg.Reserve("next", "id", Limits{}, me); err != nil {
		return err
	}
	fmt.Println("done")
	return nil
}

func TestFullFileSystem(t *testing.T) {
	attr := subprocess.MayMount(t)
	startHelperIn(t, order{Do: "full", Dir: t.TempDir()}, attr)
}

// smallFiles runs under an RLIMIT_FSIZE of which the default action is SIGXFSZ.
func smallFiles(dir string, me Process) error {
	reg, err := Open(dir, 0)
	if err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 512, Max: 512}); err != nil {
		return err
	}
	if _, err := reg.Reserve("web", "id", Limits{}, me); !errors.Is(err, errLimit) {
		return fmt.Errorf("reserve: %w", err)
	}
	other, err := os.MkdirTemp(dir, "other")
	if err != nil {
		return err
	}
	if _, err := Open(other, 0); !errors.Is(err, errLimit) {
		return fmt.Errorf("open: %w", err)
	}
	if entries, err := reg.Slots(); err != nil || len(entries) != 0 {
		return fmt.Errorf("%d slots: %w", len(entries), err)
	}
	fmt.Println("done")
	return nil
}

func TestFileSizeLimit(t *testing.T) {
	startHelper(t, order{Do: "small files", Dir: t.TempDir()})
}

// A lock whose holder was stopped is waited for, but not for ever.
func TestStoppedLockHolder(t *testing.T) {
	if os.Getenv("MSB_TEST_LONG") == "" {
		t.Skip("needs MSB_TEST_LONG: it waits for the lock's time limit")
	}
	dir := t.TempDir()
	reg := open(t, dir, 0)
	f, err := openFile(registryPath(dir))
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.lock())
	_, err = reg.Reserve("web", "id", Limits{}, self(t))
	requireCode(t, err, fault.TimedOut, "is it stopped?")
	f.unlock()
	reserve(t, reg, "web")
}
