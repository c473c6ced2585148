//go:build linux

package sandboxed

import (
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/job/sandbox"
)

// root makes the root file system of a node in a folder of its own: an overlay where the machine can, otherwise a copy.
func (s *site) root(ctx context.Context, folder string, spec *sandbox.Spec) error {
	root, work := filepath.Join(folder, "root"), filepath.Join(folder, "work")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	owners := Owners()
	if !sandbox.Look().Overlay {
		spec.Root = root
		return copyLayers(ctx, owners, s.spec.Layers, root)
	}
	upper := filepath.Join(folder, "upper")
	for _, name := range []string{root, upper, work} {
		if err := os.Mkdir(name, 0o755); err != nil {
			return err
		}
	}
	changes, err := layer.Begin(owners, upper, s.spec.Layers) // the root folder's own owner and mode
	if err != nil {
		return err
	}
	changes.Close()
	lower := slices.Clone(s.spec.Layers)
	slices.Reverse(lower)
	spec.Root, spec.Overlay = root, &sandbox.Overlay{Lower: lower, Upper: upper, Work: work}
	return nil
}

// copyLayers copies a stack of layers into a folder that it makes.
func copyLayers(ctx context.Context, owners layer.Owners, layers []string, root string) error {
	stack, err := layer.OpenStack(owners, layers)
	if err != nil {
		return err
	}
	defer stack.Close()
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	copied, err := layer.Begin(owners, root, nil)
	if err != nil {
		return err
	}
	defer copied.Close()
	return copyFolder(ctx, stack, copied, ".")
}

func copyFolder(ctx context.Context, from layer.Tree, to *layer.Changes, folder string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := from.Lstat(folder)
	if err != nil {
		return err
	}
	if err := to.Fit(folder, info.Attributes); err != nil {
		return err
	}
	names, err := from.Names(folder)
	if err != nil {
		return err
	}
	for _, name := range names {
		name = path.Join(folder, name)
		info, err := from.Lstat(name)
		switch {
		case err != nil:
		case info.IsDir():
			err = copyFolder(ctx, from, to, name)
		case info.Type&fs.ModeSymlink != 0:
			err = to.Link(name, info.Link, info.Attributes)
		case info.Type == 0:
			err = copyFile(from, to, name, info)
		} // pipes, sockets and devices mean nothing in an image
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from layer.Tree, to *layer.Changes, name string, info layer.Info) error {
	file, err := from.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // opened for reading
	return to.File(name, file, info.Attributes)
}
