package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/job"
)

// folder is the path of a run's folder.
type folder string

// What is in it; see the package comment.
const (
	lockName    = "lock"
	aliveName   = "alive"
	controlName = "control"
	orderName   = "order"
	secretsName = "secrets"
	recordName  = "record"
	reserveName = "reserve"
	nodesName   = "nodes"
	saidName    = "supervisor"
)

func (f folder) path(name string) string { return filepath.Join(string(f), name) }
func (f folder) logPath(node int) string { return f.path(strconv.Itoa(node) + ".log") }
func (f folder) read(name string, to any) error {
	text, err := os.ReadFile(f.path(name))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// order is what the supervisor is to do. Token tells the run from all others on the machine; Isolation is found out by who starts it,
// since trying the walls again would cost the supervisor more than all the rest.
type order struct {
	Spec        job.Spec
	Kind, Token string
	Isolation   job.Isolation
	Reserve     int64 // as Backend.Reserve
}

// status reads the record. Errors: os.ErrNotExist while nothing was begun.
func (f folder) status() (job.Status, error) {
	var s job.Status
	err := f.read(recordName, &s)
	return s, err
}

// write replaces a file as a whole.
func (f folder) write(name string, value any, lasting bool) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	temporary := f.path(name + ".new")
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil && lasting {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return os.Rename(temporary, f.path(name))
}

var errBusy = errors.New("the run's folder is locked")

// tryLock locks the folder, which is there, alone (unix.LOCK_EX) or shared (unix.LOCK_SH). Errors: errBusy, os.ErrNotExist.
func (f folder) tryLock(how int) (*os.File, error) {
	lock, err := os.OpenFile(f.path(lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), how|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	ours, err := lock.Stat()
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if there, err := os.Stat(lock.Name()); err != nil || !os.SameFile(ours, there) {
		_ = lock.Close()
		return nil, os.ErrNotExist // removed meanwhile
	}
	return lock, nil
}

// claim makes the folder when it is missing and locks it alone.
func (f folder) claim(wait time.Duration) (*os.File, error) {
	for end := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
		if err := os.MkdirAll(string(f), 0o700); err != nil {
			return nil, err
		}
		lock, err := f.tryLock(unix.LOCK_EX)
		if err == nil || !errors.Is(err, errBusy) && !errors.Is(err, os.ErrNotExist) || time.Now().After(end) {
			return lock, err
		}
	}
}

// busy tells whether somebody supervises the run, or is about to.
func (f folder) busy() (bool, error) {
	if _, err := os.Stat(f.path(lockName)); err != nil {
		return false, err
	}
	lock, err := f.tryLock(unix.LOCK_SH)
	if errors.Is(err, errBusy) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, lock.Close()
}

// fill makes what Start has to make in a folder in which nothing was ever begun. It is locked.
func (f folder) fill(o order) error {
	for _, name := range []string{aliveName, controlName} {
		_ = os.Remove(f.path(name)) // of one who was killed before it could begin
		if err := unix.Mkfifo(f.path(name), 0o600); err != nil {
			return err
		}
	}
	if err := f.write(secretsName, o.Spec.Secrets, false); err != nil {
		return err
	}
	o.Spec.Secrets = nil
	return f.write(orderName, o, false)
}

// order reads what fill wrote; the secrets are there until the run has ended.
func (f folder) order() (order, error) {
	var o order
	if err := f.read(orderName, &o); err != nil {
		return o, err
	}
	err := f.read(secretsName, &o.Spec.Secrets)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return o, err
}
