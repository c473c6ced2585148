package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Packing says how changes become a layer.
type Packing struct {
	Owners Owners
	// Clamp is the latest time that a file may have; later ones become it. The files on disk get the same times, so that a
	// command sees the same whether the layer was just made or unpacked from its archive.
	Clamp time.Time
}

// Pack writes a folder of changes as a layer's tar stream. The same changes give the same bytes: names are sorted, times
// clamped, owners those of the image. It returns how many entries there are beside the root.
func Pack(ctx context.Context, w io.Writer, root *os.Root, how Packing) (entries int, err error) {
	p := &packer{ctx: ctx, how: how, root: root, archive: tar.NewWriter(w), names: map[inode]string{}}
	if err := p.folder("."); err != nil {
		return 0, err
	}
	return p.entries, p.archive.Close()
}

type inode struct{ device, number uint64 }

type packer struct {
	ctx     context.Context
	how     Packing
	root    *os.Root
	archive *tar.Writer
	names   map[inode]string // of files with several names
	entries int
}

func (p *packer) folder(name string) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	file, err := openFolder(p.root, name)
	if err != nil {
		return err
	}
	defer file.Close()
	if name != "." {
		if err := p.header(name, file); err != nil {
			return err
		}
		if isOpaque(file) {
			if err := p.mark(path.Join(name, opaqueName)); err != nil {
				return err
			}
		}
	}
	names, err := file.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, base := range names {
		if err := p.entry(path.Join(name, base)); err != nil {
			return err
		}
	}
	return p.times(name)
}

func (p *packer) entry(name string) error {
	info, err := p.root.Lstat(name)
	if err != nil {
		return err
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return p.folder(name)
	case isWhiteout(info):
		return p.mark(path.Join(path.Dir(name), whiteoutPrefix+path.Base(name)))
	case mode.IsRegular():
		return p.file(name)
	case mode&(fs.ModeSocket|fs.ModeDevice) != 0:
		return nil // a socket means nothing without its process, and containers have devices of their own
	case strings.HasPrefix(path.Base(name), whiteoutPrefix):
		return reserved(name)
	}
	if err := p.header(name, nil); err != nil {
		return err
	}
	return p.times(name)
}

func reserved(name string) error {
	return badArchive("The file /%s has a name that layers use for removed files; a layer cannot hold it", name)
}

// mark writes an empty entry that layers understand as a removal.
func (p *packer) mark(name string) error {
	p.entries++
	return p.archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, ModTime: p.clamp(time.Time{})})
}

func (p *packer) file(name string) error {
	if strings.HasPrefix(path.Base(name), whiteoutPrefix) {
		return reserved(name)
	}
	file, err := openFile(p.root, name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if stat := statOf(info); stat.Nlink > 1 {
		id := inode{uint64(stat.Dev), stat.Ino}
		if first, again := p.names[id]; again {
			p.entries++
			return p.archive.WriteHeader(&tar.Header{Name: name, Linkname: first, Typeflag: tar.TypeLink, ModTime: p.clamp(time.Time{})})
		}
		p.names[id] = name
	}
	if err := p.header(name, file); err != nil {
		return err
	}
	if _, err := io.Copy(p.archive, contextReader{p.ctx, io.LimitReader(file, info.Size())}); err != nil {
		return err
	}
	return p.times(name)
}

// clamp makes a time that the archive may have: whole seconds, since a stream of nanoseconds would say when it was built.
func (p *packer) clamp(t time.Time) time.Time {
	if t.After(p.how.Clamp) || t.Unix() < 0 {
		t = p.how.Clamp
	}
	return t.Truncate(time.Second).UTC()
}

// header writes an entry's; file is nil for what cannot be opened.
func (p *packer) header(name string, file *os.File) error {
	info, err := p.root.Lstat(name)
	if err != nil {
		return err
	}
	a := p.how.Owners.get(file, info)
	h := &tar.Header{Name: name, Mode: int64(unixMode(a.Mode)), Uid: a.UID, Gid: a.GID, ModTime: p.clamp(a.ModTime)}
	switch {
	case info.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case info.Mode().IsRegular():
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
	case info.Mode()&fs.ModeNamedPipe != 0:
		h.Typeflag = tar.TypeFifo
	case info.Mode()&fs.ModeSymlink != 0:
		h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
		if h.Linkname, err = p.root.Readlink(name); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s has the unknown type %s", name, info.Mode())
	}
	if file != nil {
		if h.PAXRecords, err = p.extended(file, name); err != nil {
			return err
		}
	}
	p.entries++
	return p.archive.WriteHeader(h)
}

func (p *packer) extended(file *os.File, name string) (map[string]string, error) {
	var records map[string]string
	for _, attribute := range listAttributes(file) {
		for _, prefix := range overlayPrefixes {
			// A mount that was told not to make them does not; following them would show other files.
			if attribute == prefix+"redirect" || attribute == prefix+"metacopy" {
				return nil, fmt.Errorf("/%s has %s: the overlay was mounted with features that layers do not have", name, attribute)
			}
		}
		if !kept(attribute) {
			continue
		}
		value, err := getAttribute(file, attribute)
		if err != nil {
			return nil, err
		}
		if attribute == capabilityAttribute {
			value = p.how.Owners.capabilityToImage(value)
		}
		if records == nil {
			records = map[string]string{}
		}
		records["SCHILY.xattr."+attribute] = string(value)
	}
	return records, nil
}

// times makes the times on disk those of the archive.
func (p *packer) times(name string) error {
	info, err := p.root.Lstat(name)
	if err != nil {
		return err
	}
	clamped := p.clamp(info.ModTime())
	if name == "." || clamped.Equal(info.ModTime()) {
		return nil
	}
	in := p.root
	base := name
	if dir := path.Dir(name); dir != "." {
		if in, err = p.root.OpenRoot(dir); err != nil {
			return err
		}
		defer in.Close()
		base = path.Base(name)
	}
	if err := linkTime(in, base, clamped); err != nil && !errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
}
