package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/room"
	"github.com/alvara-ml/alvara/resource"
)

// Backend implements job.Backend.
type Backend struct {
	// Dir holds the runs' folders. It is made when absent, and may be shared by several servers of one user. For sandboxes it must not be
	// below the folder of the program's own file, which would cost a copy of that file for each run.
	Dir string
	// Kind is which driver runs the nodes: Sandbox or Process.
	Kind string
	// Reserve is how many bytes of Dir's disk stay free: with less no run is begun, and those that run are ended (job.DiskFull). 0 is
	// as in room.Check, and a negative one is none.
	Reserve int64
	Clock   func() time.Time
	Log     *slog.Logger // nil: no log
}

var _ job.Backend = (*Backend)(nil)

// Isolation implements job.Backend.
func (b *Backend) Isolation() job.Isolation {
	driver, err := driverOf(b.Kind)
	if err != nil {
		return job.Isolation{Level: b.Kind, Lacks: []string{err.Error()}}
	}
	return driver.Isolation()
}

// patience is how long Start waits for a lock that somebody who looks at the run may have for a moment.
const patience = 200 * time.Millisecond

// Start implements job.Backend.
func (b *Backend) Start(ctx context.Context, spec job.Spec) (job.Run, error) {
	spec, err := complete(spec)
	if err != nil {
		return nil, err
	}
	driver, err := driverOf(b.Kind)
	if err != nil {
		return nil, err
	}
	if err := driver.Check(spec); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(b.Dir)
	if err != nil {
		return nil, err
	}
	if err := room.Check(dir, b.Reserve, 0); err != nil {
		return nil, err
	}
	f := folder(filepath.Join(dir, spec.ID))
	lock, err := f.claim(patience)
	if errors.Is(err, errBusy) {
		return nil, begun(spec.ID)
	}
	if err != nil {
		return nil, diskError(err)
	}
	defer func() { _ = lock.Close() }() // the supervisor has it by then
	if _, err := f.status(); err == nil {
		return nil, begun(spec.ID)
	}
	held, err := holdAll(spec.Hold)
	if err != nil {
		return nil, err
	}
	defer closeAll(held) // the supervisor has them too by then
	if err := f.fill(order{Spec: spec, Kind: b.Kind, Token: strings.ToLower(rand.Text()[:16]), Isolation: driver.Isolation(), Reserve: b.Reserve}); err != nil {
		return nil, diskError(err)
	}
	if err := b.supervise(f, lock, held); err != nil {
		return nil, diskError(err)
	}
	return &run{backend: b, folder: f, id: spec.ID}, nil
}

func begun(id string) error {
	return resource.Conflictf("RunExists", "A run with the id %q was begun already; open it, or give this one another id.", id).At("ID")
}

func diskError(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return resource.Errorf(resource.Unavailable, "DiskFull", "The disk that holds the runs is full; make room and try again.").Because(err)
	}
	return err
}

func closeAll(files []*os.File) {
	for _, file := range files {
		_ = file.Close() // opened for their locks
	}
}

// holdAll takes shared locks that last as long as somebody has the files open.
func holdAll(paths []string) (held []*os.File, err error) {
	for _, path := range paths {
		file, err := os.Open(path)
		if err == nil {
			held = append(held, file)
			err = unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		}
		if err != nil {
			closeAll(held)
			return nil, resource.Errorf(resource.Unavailable, "CannotHold", "The run cannot hold %s: %v. Something removes it; try again.", path, err).At("Hold").Because(err)
		}
	}
	return held, nil
}

// supervise starts the run's supervisor. It gets the locks, and both pipes open, so that whoever opens their other ends finds it there.
func (b *Backend) supervise(f folder, lock *os.File, held []*os.File) error {
	var files []*os.File
	defer func() { closeAll(files) }() // the supervisor has its own
	for _, name := range []string{aliveName, controlName} {
		file, err := os.OpenFile(f.path(name), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	said, err := os.OpenFile(f.path(saidName), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	files = append(files, said)
	program, err := ownProgram()
	if err != nil {
		return err
	}
	command := &exec.Cmd{
		Path: program, Args: []string{"alvara", Argument, string(f)}, Dir: "/", Stderr: said, Stdout: said,
		Env: []string{"PATH=" + os.Getenv("PATH")}, ExtraFiles: append([]*os.File{lock, files[0], files[1]}, held...),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := command.Start(); err != nil {
		return resource.Errorf(resource.Unavailable, "SupervisorUnavailable", "No process can be made for the run: %v.", err).Because(err)
	}
	go func() {
		err := command.Wait() // which collects it; how the run ended is in its record
		if b.Log != nil && err != nil {
			b.Log.Warn("a run's supervisor ended badly", "run", filepath.Base(string(f)), "error", err)
		}
	}()
	return nil
}

// Open implements job.Backend.
func (b *Backend) Open(_ context.Context, id string) (job.Run, error) {
	missing := resource.NotFoundf("RunNotFound", "There is no run with the id %q.", id)
	if !isID(id) {
		return nil, missing
	}
	dir, err := filepath.Abs(b.Dir)
	if err != nil {
		return nil, err
	}
	r := &run{backend: b, folder: folder(filepath.Join(dir, id)), id: id}
	if _, err := r.folder.status(); err == nil {
		return r, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	switch busy, err := r.folder.busy(); {
	case errors.Is(err, os.ErrNotExist), err == nil && !busy:
		return nil, missing // or begun so little that it can be started again
	case err != nil:
		return nil, err
	}
	return r, nil
}

// List implements job.Backend.
func (b *Backend) List(ctx context.Context) ([]string, error) {
	entries, err := os.ReadDir(b.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, entry := range entries { // sorted
		if _, err := b.Open(ctx, entry.Name()); err == nil {
			ids = append(ids, entry.Name())
		} else if known, ok := resource.AsError(err); !ok || known.Kind != resource.NotFound {
			return nil, fmt.Errorf("look at the run %s: %w", entry.Name(), err)
		}
	}
	return ids, nil
}
