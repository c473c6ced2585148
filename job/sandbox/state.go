//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/resource"
)

// What is in a command's state folder: a file that is locked while the command's caller lives, and libcontainer's folder.
const (
	lockName = "lock"
	boxName  = "box"
)

// errBusy tells that the folder belongs to a command whose caller lives.
var errBusy = errors.New("the command runs")

// claim makes the state folder of a command and locks it; the folder of a caller that died is emptied first.
func claim(state, id string) (*os.File, error) {
	folder := filepath.Join(state, id)
	for range 10 {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, invalid("State", "State %q cannot hold a command's folder: %v.", state, err).Because(err)
		}
		lock, err := lockFolder(folder)
		switch {
		case errors.Is(err, os.ErrNotExist): // removed by a sweep in between
			continue
		case errors.Is(err, errBusy):
			return nil, resource.Conflictf("SandboxRuns", "A command with the id %q runs already; give each one its own.", id).At("ID")
		case err != nil:
			return nil, err
		}
		if err := clear(folder, id); err != nil {
			_ = lock.Close()
			return nil, err
		}
		return lock, nil
	}
	return nil, fmt.Errorf("the state folder %s is removed again and again", folder)
}

// lockFolder takes the lock of a state folder that is there.
func lockFolder(folder string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(folder, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	ours, err := lock.Stat()
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	if there, err := os.Stat(lock.Name()); err != nil || !os.SameFile(ours, there) {
		_ = lock.Close()
		return nil, os.ErrNotExist
	}
	return lock, nil
}

// Sweep ends and removes what commands left whose callers died: processes, cgroups and state folders. Commands that run are not
// touched, whoever runs them. It returns the ids of those it removed. A server calls it when it starts.
func Sweep(state string) ([]string, error) {
	entries, err := os.ReadDir(state)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var swept []string
	var failed []error
	for _, entry := range entries {
		if !entry.IsDir() || !isID(entry.Name()) {
			continue
		}
		switch err := sweepOne(state, entry.Name()); {
		case err == nil:
			swept = append(swept, entry.Name())
		case !errors.Is(err, errBusy) && !errors.Is(err, os.ErrNotExist):
			failed = append(failed, fmt.Errorf("sweep the sandbox %s: %w", entry.Name(), err))
		}
	}
	return swept, errors.Join(failed...)
}

func sweepOne(state, id string) error {
	folder := filepath.Join(state, id)
	lock, err := lockFolder(folder)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := clear(folder, id); err != nil {
		return err
	}
	return os.RemoveAll(folder)
}

// clear kills what is left of an earlier command and removes its cgroups and libcontainer's folder. The folder is locked.
func clear(folder, id string) error {
	if _, err := os.Stat(filepath.Join(folder, boxName)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if box, err := libcontainer.Load(folder, boxName); err == nil {
		_ = box.Signal(unix.SIGKILL) // it is usually dead: its first process dies with its caller
	}
	if Look().Version > 0 {
		if err := removeCgroups(id); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(folder, boxName))
}

func removeCgroups(id string) error {
	group, err := manager.New(&cgroups.Cgroup{Path: filepath.Join(cgroupParent, id), Resources: &cgroups.Resources{}})
	if err != nil {
		return err
	}
	for range 500 {
		pids, err := group.GetAllPids()
		if err != nil || len(pids) == 0 { // an error is a cgroup that is not there
			break
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return group.Destroy()
}
