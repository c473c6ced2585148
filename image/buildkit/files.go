package buildkit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

// folder is what the daemon may read of a folder: what is in it. A link is told to the daemon as a link, which follows it as if
// the folder were all there is; here nothing is opened through a link that leads out.
type folder struct {
	fsutil.FS
	root *os.Root
}

func files(root *os.Root) fsutil.FS {
	return folder{FS: fsutil.NewRootFS(fsutil.NewRoot(root)), root: root}
}

// Walk implements fsutil.FS. The one below follows the name it is given when that is a link, and so cannot tell of links
// to absolute paths, which mean places in the folder.
func (f folder) Walk(ctx context.Context, target string, visit fs.WalkDirFunc) error {
	name := strings.TrimPrefix(path.Clean("/"+target), "/")
	if name == "" {
		return f.FS.Walk(ctx, target, visit)
	}
	info, err := f.root.Lstat(name)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return f.FS.Walk(ctx, target, visit)
	}
	link, err := f.root.Readlink(name)
	if err != nil {
		return err
	}
	stat := &types.Stat{Path: name, Mode: uint32(info.Mode()), Size: info.Size(), ModTime: info.ModTime().UnixNano(), Linkname: link}
	err = visit(name, &fsutil.DirEntryInfo{Stat: stat}, nil)
	if errors.Is(err, fs.SkipDir) || errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}
