package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/image/layer"
)

// copyTree copies a part of a tree with its times, links as they are. Files with several names become several files.
func copyTree(ctx context.Context, from layer.Tree, name string, to *layer.Changes, at string) error {
	type folder struct {
		name string
		time time.Time
	}
	var folders []folder
	err := walk(ctx, from, name, ".", func(name, rel string, info layer.Info) error {
		into := path.Join(at, rel)
		if info.IsDir() {
			folders = append(folders, folder{into, info.ModTime})
			return to.Fit(into, info.Attributes)
		}
		if info.Type&^fs.ModeSymlink != 0 {
			return nil
		}
		if err := copyOne(from, name, info, to, into); err != nil {
			return err
		}
		return to.Time(into, info.ModTime)
	})
	for _, f := range slices.Backward(folders) { // last: what is put into a folder changes its time
		if err == nil {
			err = to.Time(f.name, f.time)
		}
	}
	return err
}

func copyOne(from layer.Tree, name string, info layer.Info, to *layer.Changes, into string) error {
	if info.Type&fs.ModeSymlink != 0 {
		return to.Link(into, info.Link, info.Attributes)
	}
	file, err := from.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return to.File(into, file, info.Attributes)
}

// mark is what tells whether a file was touched.
type mark struct {
	inode   uint64
	changed syscall.Timespec
	mode    fs.FileMode
}

// inCopy runs a command on a copy of the layers, for users who may not mount overlays, and finds its changes by comparing.
// Beside the time that it takes, files with several names become several files.
func (s *session) inCopy(ctx context.Context, c Command, upper string, below []string) (int, error) {
	stack, err := layer.OpenStack(s.Store.Owners, below)
	if err != nil {
		return 0, err
	}
	defer stack.Close()
	root, _, remove, err := s.Store.Fresh()
	if err != nil {
		return 0, err
	}
	defer remove()
	copied, err := layer.Begin(s.Store.Owners, root, nil)
	if err == nil {
		err = copyTree(ctx, stack, ".", copied, ".")
		copied.Close()
	}
	if err != nil {
		return 0, err
	}
	before, err := marks(root)
	if err != nil {
		return 0, err
	}
	time.Sleep(10 * time.Millisecond) // file systems tell times apart by a few milliseconds
	c.Root = root
	code, err := s.Runner.Run(ctx, c)
	if err != nil || code != 0 {
		return code, err
	}
	if err := tidy(root, stack, mountPoints(c)); err != nil {
		return 0, err
	}
	return 0, s.collect(ctx, root, before, stack, upper, below)
}

func marks(folder string) (map[string]mark, error) {
	all := map[string]mark{}
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(folder, name)
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		all[rel] = mark{stat.Ino, changed(stat), info.Mode()}
		return nil
	})
	return all, err
}

// collect writes the differences as changes.
func (s *session) collect(ctx context.Context, root string, before map[string]mark, stack *layer.Stack, upper string, below []string) error {
	after, err := marks(root)
	if err != nil {
		return err
	}
	open, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer open.Close()
	tree := layer.Folder{Root: open, Owners: s.Store.Owners}
	changes, err := layer.Begin(s.Store.Owners, upper, below)
	if err != nil {
		return err
	}
	defer changes.Close()
	for name := range before {
		now, stays := after[name]
		if stays && now.mode.Type() == before[name].mode.Type() {
			continue
		}
		if dir, left := after[path.Dir(name)]; !left || !dir.mode.IsDir() {
			continue // gone with its folder
		}
		if err := changes.Remove(name); err != nil {
			return err
		}
	}
	return walk(ctx, tree, ".", ".", func(name, _ string, info layer.Info) error {
		if old, known := before[name]; name == "." || known && old == after[name] {
			return nil
		}
		if info.IsDir() {
			if old, known := before[name]; known && old.mode == after[name].mode {
				return nil // only what is in it changed
			}
			return changes.Fit(name, info.Attributes)
		}
		if info.Type&^fs.ModeSymlink != 0 {
			return nil
		}
		return copyOne(tree, name, info, changes, name)
	})
}

// lockFile waits for a lock among all builds of the machine.
func lockFile(ctx context.Context, name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil // closing gives the lock back
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(err, file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
