package build

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/alvara-ml/alvara/image/buildcontext"
	"github.com/alvara-ml/alvara/image/dockerfile"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/resource"
)

// writer writes what a COPY or ADD brings.
type writer struct {
	copying
	ctx      context.Context
	session  *session
	step     dockerfile.Step
	to       *layer.Changes
	excluded func(rel string) bool
	mode     *fs.FileMode
	uid, gid int
}

func (w *writer) write(destination string, folder bool, sources []source) error {
	at, err := layer.Resolve(w.to.Tree(), destination, true)
	if err != nil {
		return failed(w.step, "the destination %s: %v", destination, err)
	}
	if info, err := w.to.Tree().Lstat(at); err == nil && info.IsDir() {
		folder = true
	}
	if folder {
		if err := w.to.Folder(at, w.attributes(layer.Info{Attributes: layer.Attributes{Mode: 0o755}})); err != nil {
			return err
		}
	}
	for _, s := range sources {
		if err := w.source(s, at, folder); err != nil {
			return err
		}
	}
	for _, inline := range w.SourceContents {
		name := at
		if folder {
			name = path.Join(at, inline.Path)
		}
		if err := w.to.File(name, strings.NewReader(inline.Data), w.attributes(layer.Info{Attributes: layer.Attributes{Mode: 0o644}})); err != nil {
			return err
		}
	}
	return nil
}

// attributes of what arrives: the instruction's owner, and its mode where it names one.
func (w *writer) attributes(info layer.Info) layer.Attributes {
	a := layer.Attributes{Mode: info.Mode, UID: w.uid, GID: w.gid, ModTime: info.ModTime}
	if w.mode != nil {
		a.Mode = *w.mode
	}
	return a
}

func (w *writer) source(s source, at string, folder bool) error {
	if !s.info.IsDir() {
		if w.unpack {
			done, err := w.unpackArchive(s, at)
			if done || err != nil {
				return err
			}
		}
		if folder {
			at = path.Join(at, s.base)
		}
		return w.one(s.name, at, s.info)
	}
	return walk(w.ctx, w.from, s.name, ".", func(name, rel string, info layer.Info) error {
		if w.excluded(rel) {
			return nil
		}
		to := path.Join(at, rel)
		if rel != "." && info.IsDir() {
			resolved, err := layer.Resolve(w.to.Tree(), to, true)
			if err != nil {
				return failed(w.step, "the destination /%s: %v", to, err)
			}
			to = resolved
		} else if rel != "." {
			dir, err := layer.Resolve(w.to.Tree(), path.Dir(to), true)
			if err != nil {
				return failed(w.step, "the destination /%s: %v", to, err)
			}
			to = path.Join(dir, path.Base(to))
		}
		return w.one(name, to, info)
	})
}

// one writes a single file, link or folder.
func (w *writer) one(name, to string, info layer.Info) error {
	a := w.attributes(info)
	switch {
	case info.IsDir():
		return w.to.Folder(to, a)
	case info.Type&fs.ModeSymlink != 0:
		return w.to.Link(to, info.Link, a)
	case info.Type != 0:
		return nil // pipes and the like carry no content
	}
	file, err := w.from.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return w.to.File(to, contextual{w.ctx, file}, a)
}

type contextual struct {
	ctx context.Context
	r   io.Reader
}

func (c contextual) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// unpackArchive unpacks a source of ADD that is a tar archive; done is false when it is none.
func (w *writer) unpackArchive(s source, at string) (done bool, err error) {
	file, err := w.from.Open(s.name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	archive, err := openArchive(file)
	if err != nil {
		return false, failed(w.step, "ADD %s: %v; use COPY for the file as it is", s.base, err)
	}
	if archive == nil {
		if w.mustUnpack {
			return false, failed(w.step, "ADD --unpack: %s is no tar archive", s.base)
		}
		return false, nil
	}
	var bytes int64
	for entries := 1; ; entries++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return true, w.to.Folder(at, layer.Attributes{Mode: 0o755})
		}
		if err != nil {
			return true, failed(w.step, "the archive %s is damaged: %v", s.base, err)
		}
		if bytes += header.Size; w.session.Limits.LayerBytes > 0 && bytes > w.session.Limits.LayerBytes {
			return true, resource.Errorf(resource.TooLarge, "ArchiveTooLarge", "Dockerfile line %d: the archive %s unpacks to more than %d bytes.", w.step.Line, s.base, w.session.Limits.LayerBytes)
		}
		if w.session.Limits.Entries > 0 && entries > w.session.Limits.Entries {
			return true, resource.Errorf(resource.TooLarge, "ArchiveTooLarge", "Dockerfile line %d: the archive %s has more than %d entries.", w.step.Line, s.base, w.session.Limits.Entries)
		}
		if err := w.unpackEntry(archive, header, s.base, at); err != nil {
			return true, err
		}
	}
}

// openArchive sees whether a file is a tar archive; nil when it is none.
func openArchive(file *os.File) (*tar.Reader, error) {
	plain, err := buildcontext.Decompress(file)
	if err != nil {
		if resource.KindOf(err) == resource.Unsupported {
			return nil, err
		}
		return nil, rewind(file)
	}
	buffered := bufio.NewReaderSize(plain, 64<<10)
	block, _ := buffered.Peek(512) // a short file is no archive
	if len(block) < 512 {
		return nil, rewind(file)
	}
	if _, err := tar.NewReader(strings.NewReader(string(block))).Next(); errors.Is(err, tar.ErrHeader) || errors.Is(err, io.EOF) {
		return nil, rewind(file)
	}
	return tar.NewReader(buffered), nil
}

func rewind(file *os.File) error {
	_, err := file.Seek(0, io.SeekStart)
	return err
}

func (w *writer) unpackEntry(content io.Reader, header *tar.Header, archive, at string) error {
	outside := func(name string) bool {
		for part := range strings.SplitSeq(name, "/") {
			if part == ".." {
				return true
			}
		}
		return false
	}
	if outside(header.Name) {
		return failed(w.step, "the archive %s has the entry %q, which leads out of it", archive, header.Name)
	}
	place := func(name string) (string, error) { return w.place(at, name) }
	to, err := place(header.Name)
	if err != nil {
		return err
	}
	a := layer.Attributes{Mode: header.FileInfo().Mode(), UID: header.Uid, GID: header.Gid, ModTime: header.ModTime}
	if w.chown != "" {
		a.UID, a.GID = w.uid, w.gid
	}
	if w.mode != nil {
		a.Mode = *w.mode
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if to == at {
			return nil
		}
		if to, err = layer.Resolve(w.to.Tree(), to, true); err != nil {
			return failed(w.step, "the archive %s: %v", archive, err)
		}
		return w.to.Fit(to, a)
	case tar.TypeReg:
		return w.to.File(to, contextual{w.ctx, content}, a)
	case tar.TypeSymlink:
		return w.to.Link(to, header.Linkname, a)
	case tar.TypeLink:
		if outside(header.Linkname) {
			return failed(w.step, "the archive %s has the hard link %q to %q, which leads out of it", archive, header.Name, header.Linkname)
		}
		target, err := place(header.Linkname)
		if err != nil {
			return err
		}
		if err := w.to.HardLink(to, target); err != nil {
			return failed(w.step, "the archive %s: %v", archive, err)
		}
		return nil
	case tar.TypeXGlobalHeader:
		return nil
	}
	return failed(w.step, "the archive %s has the entry %q, which is no file, folder or link", archive, header.Name)
}

// place is where an entry goes: links of the image on the way are followed, within the image.
func (w *writer) place(at, name string) (string, error) {
	full := path.Join(at, path.Clean("/"+name))
	if full == at {
		return at, nil
	}
	dir, err := layer.Resolve(w.to.Tree(), path.Dir(full), true)
	if err != nil {
		return "", failed(w.step, "the destination /%s: %v", full, err)
	}
	return path.Join(dir, path.Base(full)), nil
}
