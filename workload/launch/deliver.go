package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/job/room"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// mostSkipped is how many things that are not kept are told of by name.
const mostSkipped = 20

// Deliver implements workload.Launched. Errors also: Conflict while the run is under way, TooLarge.
func (r *launched) Deliver(ctx context.Context, tell func(string)) error {
	if tell == nil {
		tell = func(string) {}
	}
	unlock := r.launcher.links.lock(r.ID())
	defer unlock()
	if err := r.ended(); err != nil {
		return err
	}
	if _, err := os.Stat(r.at.outside.delivered); err == nil || len(r.order.Outputs) == 0 {
		return nil
	}
	root, err := os.OpenRoot(r.at.outside.outputs)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // only read
	if err := r.measure(root); err != nil {
		return err
	}
	for _, output := range r.order.Outputs {
		if err := r.deliver(ctx, root, output, tell); err != nil {
			return because(err, "write the output "+output.Name)
		}
	}
	return os.WriteFile(r.at.outside.delivered, nil, 0o600)
}

// measure refuses outputs that are more than the limits or the disk allow, before any of it is written. Holes count: storage has none.
func (r *launched) measure(root *os.Root) error {
	limits, total := r.launcher.Limits.withDefaults(), int64(0)
	for _, output := range r.order.Outputs {
		files, size := 0, int64(0)
		add := func(file left) error {
			files, size = files+1, size+file.size
			if files > limits.Entries || size > limits.Bytes {
				return resource.Errorf(resource.TooLarge, "OutputTooLarge", "The output %s is not written: there are more than %d files or %d GiB.", output.Name, limits.Entries, limits.Bytes>>30)
			}
			return nil
		}
		err := error(nil)
		if output.Folder {
			err = measureFolder(root, output.Name, add)
		} else if info, missing := root.Lstat(output.Name); missing == nil && info.Mode().IsRegular() {
			err = add(left{path: output.Name, size: info.Size()})
		}
		if err != nil {
			return err
		}
		total += size
	}
	return room.Check(r.launcher.Dir, r.launcher.Reserve, total)
}

func measureFolder(root *os.Root, name string, add func(left) error) error {
	folder, err := openLeft(root.Name(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // which is told of when it is to be written
	}
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // only read
	return walk(folder, func(string, string) {}, add)
}

// errGone is of an output that is not there.
var errGone = errors.New("not there")

// delivery is one output on its way.
type delivery struct {
	run    *launched
	output workload.File
	who    identity.Principal
	root   *os.Root // where the output lies
	limits Limits
	found  int
	size   int64
	files  atomic.Int64 // written
	bytes  atomic.Int64 // of these
	tell   func(string)

	mu      sync.Mutex
	skipped int
}

func (r *launched) deliver(ctx context.Context, root *os.Root, output workload.File, tell func(string)) error {
	d := &delivery{run: r, output: output, who: r.order.Who, root: root, limits: r.launcher.Limits.withDefaults(), tell: tell}
	if output.Who != nil {
		d.who = *output.Who
	}
	var err error
	if output.Folder {
		err = d.folder(ctx)
	} else {
		err = d.write(ctx, left{path: output.Name}, strings.Trim(output.Path, "/"))
	}
	if errors.Is(err, errGone) {
		tell(fmt.Sprintf("The output %s is not written: the run has left no such %s in %s.", output.Name, map[bool]string{true: "folder", false: "file"}[output.Folder], r.at.inside.outputs))
		return nil
	}
	if err != nil {
		return err
	}
	if d.skipped > mostSkipped {
		tell(fmt.Sprintf("The output %s: %d more are not written.", output.Name, d.skipped-mostSkipped))
	}
	tell(fmt.Sprintf("Wrote the output %s: %s to %s in %s, as %s.", output.Name, amount(int(d.files.Load()), d.bytes.Load()), address(output), output.Account, called(d.who)))
	return nil
}

func (d *delivery) folder(ctx context.Context) error {
	root, err := openLeft(d.root.Name(), d.output.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // only read
	d.root = root
	group, writing := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	err = walk(root, d.skip, func(file left) error {
		d.found++
		d.size += file.size
		if d.found > d.limits.Entries || d.size > d.limits.Bytes {
			return resource.Errorf(resource.TooLarge, "OutputTooLarge", "There are more than %d files or %d GiB.", d.limits.Entries, d.limits.Bytes>>30)
		}
		group.Go(func() error {
			err := d.write(writing, file, path.Join(strings.Trim(d.output.Path, "/"), file.path))
			if errors.Is(err, errGone) {
				d.skip(file.path, "it cannot be read")
				return nil
			}
			return err
		})
		return writing.Err()
	})
	if waited := group.Wait(); waited != nil {
		return waited
	}
	return err
}

func (d *delivery) skip(name, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.skipped++; d.skipped <= mostSkipped {
		d.tell(fmt.Sprintf("The output %s: %q is not written: %s.", d.output.Name, name, why))
	}
}

// write writes one file.
func (d *delivery) write(ctx context.Context, file left, to string) error {
	content, info, err := openRegular(d.root, file.path)
	if err != nil {
		return errGone
	}
	defer func() { _ = content.Close() }() // only read
	if info.Size() > d.limits.Bytes {
		return resource.Errorf(resource.TooLarge, "OutputTooLarge", "The file %s has more than %d GiB.", file.path, d.limits.Bytes>>30)
	}
	if err := d.run.launcher.Files.Write(ctx, d.who, d.output.Account, d.output.Container, to, content); err != nil {
		return err
	}
	d.files.Add(1)
	d.bytes.Add(info.Size())
	return nil
}
