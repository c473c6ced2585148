package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/socket"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// launched implements workload.Launched. It keeps nothing: all there is to know is in the folders.
type launched struct {
	job.Run
	launcher *Launcher
	order    workload.Order
	at       place
}

var _ workload.Launched = (*launched)(nil)

// Remove forgets the run and all its files.
func (r *launched) Remove() error { return r.launcher.Forget(r.ID()) }

// Wait implements job.Run. A run that has ended gets no tokens any more.
func (r *launched) Wait(ctx context.Context) (job.Status, error) {
	status, err := r.Run.Wait(ctx)
	if err == nil {
		r.launcher.links.end(r.ID(), r.launcher.Identity)
	}
	return status, err
}

// Dial implements workload.Launched. Errors: Invalid for a run that serves nothing, Unavailable while nobody listens.
func (r *launched) Dial(ctx context.Context) (net.Conn, error) {
	if r.order.Port == 0 {
		return nil, invalid("Port", "The run %q does not serve.", r.ID())
	}
	conn, err := socket.Dial(ctx, r.at.outside.serve)
	if err != nil && ctx.Err() == nil {
		return nil, resource.Errorf(resource.Unavailable, "RunNotServing", "The run %q does not serve: it has not begun, or has ended.", r.ID()).Because(err)
	}
	return conn, err
}

// Release implements workload.Launched. What is written in the meantime by a run under way is lost. Errors: Conflict while it runs.
func (r *launched) Release() error {
	unlock := r.launcher.links.lock(r.ID())
	defer unlock()
	if err := r.ended(); err != nil {
		return err
	}
	r.launcher.links.end(r.ID(), r.launcher.Identity)
	return r.at.release()
}

func (r *launched) ended() error {
	status, err := r.Status()
	if err == nil && !status.State.Ended() {
		err = resource.Conflictf("RunRuns", "The run %q has not ended; cancel it and wait.", r.ID())
	}
	return err
}

// mostMetrics is how much of a metrics file is regarded, in bytes.
const mostMetrics = 64 << 20

// Metrics implements workload.Launched. A line is copied when it is whole, the last one at the latest when the run has ended.
func (r *launched) Metrics(offset int64, w io.Writer) (int64, error) {
	if offset < 0 {
		return offset, invalid("offset", "The offset %d must not be negative.", offset)
	}
	status, err := r.Status() // before the file is read: what an ended run wrote is there
	if err != nil {
		return offset, err
	}
	root, err := os.OpenRoot(r.at.outside.run)
	if errors.Is(err, fs.ErrNotExist) {
		return offset, nil
	}
	if err != nil {
		return offset, err
	}
	defer func() { _ = root.Close() }() // only read
	file, _, err := openRegular(root, metricsName)
	if err != nil {
		return offset, nil // none, or something else in its place
	}
	defer func() { _ = file.Close() }() // only read
	text, err := io.ReadAll(io.NewSectionReader(file, offset, max(0, mostMetrics-offset)))
	if err != nil {
		return offset, err
	}
	if !status.State.Ended() {
		text = text[:strings.LastIndexByte(string(text), '\n')+1]
	}
	n, err := w.Write(text)
	return offset + int64(n), err
}

// openAnyhow opens something for reading, also where its owner has taken the right to do so from himself. It is no link.
func openAnyhow(root *os.Root, name string, flags int) (*os.File, error) {
	open := func() (*os.File, error) { return root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|flags, 0) }
	file, err := open()
	if errors.Is(err, fs.ErrPermission) && root.Chmod(name, 0o700) == nil {
		return open()
	}
	return file, err
}

// openRegular opens a file of a folder that a stranger has filled: no link, no pipe, no device, and nothing outside. Errors: fs.ErrNotExist
// for all of these.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	file, err := openAnyhow(root, name, unix.O_NONBLOCK)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = file.Close() // only read
		return nil, nil, err
	}
	return file, info, nil
}
