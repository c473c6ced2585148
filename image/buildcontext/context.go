// Package buildcontext turns the archive with a build's context into a folder: unpacked so that nothing gets out of it, and
// without what .dockerignore names. What is done with the files is package build's affair.
package buildcontext

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/resource"
)

// Options say which context is meant.
type Options struct {
	Dockerfile    string // path in the context; "" is Dockerfile
	Folder        string // the context's folder in the archive; "" is all of it
	MaxBytes      int64  // of all files; 0 does not bound
	MaxEntries    int
	DockerfileMax int64 // bytes; 0 is 1 MiB
}

// Context is an unpacked one. Close it; the folder is its maker's to remove.
type Context struct {
	layer.Folder
	Dockerfile []byte
	Ignored    int // files that .dockerignore left out
}

// Close gives the folder back.
func (c *Context) Close() { _ = c.Root.Close() } // opened for looking up names

// Open unpacks an archive (tar, alone or by gzip or bzip2) into an empty folder and reads the Dockerfile. Every fault of
// the archive is an Invalid or TooLarge error; then something may lie in the folder.
func Open(ctx context.Context, archive io.Reader, folder string, o Options) (*Context, error) {
	stream, err := Decompress(archive)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	// COPY of the whole context gives its folder's mode, which is to be the same everywhere.
	if err := root.Chmod(".", 0o755); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	owners := layer.Owners{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Size: 1}
	how := layer.Unpacking{Owners: owners, MaxBytes: o.MaxBytes, MaxEntries: o.MaxEntries}
	if err := layer.Unpack(ctx, stream, root, how); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	c := &Context{Folder: layer.Folder{Root: root, Owners: owners}}
	if err := c.prepare(o); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Context) prepare(o Options) error {
	if o.Folder != "" {
		name, err := layer.Resolve(c, o.Folder, true)
		if err == nil {
			var inner *os.Root
			if inner, err = c.Root.OpenRoot(name); err == nil {
				_ = c.Root.Close() // opened for looking up names
				c.Root = inner
			}
		}
		if err != nil {
			return resource.Invalidf("InvalidContext", "The context %q is no folder of the source.", o.Folder).At("contextPath").Because(err)
		}
	}
	if o.Dockerfile == "" {
		o.Dockerfile = "Dockerfile"
	}
	if o.DockerfileMax == 0 {
		o.DockerfileMax = 1 << 20
	}
	var err error
	if c.Dockerfile, err = c.read(o.Dockerfile, o.DockerfileMax); err != nil {
		if resource.KindOf(err) != resource.Internal {
			return err
		}
		return resource.Invalidf("DockerfileNotFound", "The context has no file %q; name the Dockerfile by its path in the context.", o.Dockerfile).At("dockerfile").Because(err)
	}
	return c.ignore(o.Dockerfile)
}

// read follows links, and never out of the context.
func (c *Context) read(name string, max int64) ([]byte, error) {
	resolved, err := layer.Resolve(c, name, true)
	if err != nil {
		return nil, err
	}
	return layer.ReadFile(c, resolved, max)
}

// ignore removes what the ignore file names: the Dockerfile's own if there is one, else the context's.
func (c *Context) ignore(dockerfile string) error {
	text, err := c.read(dockerfile+".dockerignore", 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = c.read(".dockerignore", 1<<20)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return resource.Invalidf("InvalidDockerignore", "The .dockerignore cannot be read: %v.", err).Because(err)
	}
	patterns, err := ignorefile.ReadAll(strings.NewReader(string(text)))
	if err != nil {
		return resource.Invalidf("InvalidDockerignore", "The .dockerignore cannot be read: %v.", err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return resource.Invalidf("InvalidDockerignore", "The .dockerignore has a pattern that cannot be understood: %v.", err)
	}
	_, err = c.prune(".", matcher, patternmatcher.MatchInfo{})
	return err
}

// prune removes what matches below a folder, and says whether anything is left. A folder that matches stays as far as an
// exception ("!") keeps something in it.
func (c *Context) prune(folder string, matcher *patternmatcher.PatternMatcher, parent patternmatcher.MatchInfo) (left bool, err error) {
	names, err := c.Names(folder)
	if err != nil {
		return false, err
	}
	for _, base := range names {
		name := path.Join(folder, base)
		matches, info, err := matcher.MatchesUsingParentResults(name, parent)
		if err != nil {
			return false, resource.Invalidf("InvalidDockerignore", "The .dockerignore cannot be applied to %s: %v.", name, err)
		}
		at, err := c.Root.Lstat(name)
		if err != nil {
			return false, err
		}
		keep := !matches
		if at.IsDir() {
			below, err := c.prune(name, matcher, info)
			if err != nil {
				return false, err
			}
			keep = keep || below
		}
		if keep {
			left = true
			continue
		}
		c.Ignored++
		if err := c.Root.RemoveAll(name); err != nil {
			return false, err
		}
	}
	return left, nil
}

// Decompress sees by its first bytes how a stream is packed. What it does not unpack is Unsupported, by name.
func Decompress(stream io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(stream, 64<<10)
	first, err := buffered.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch begins := func(magic string) bool { return strings.HasPrefix(string(first), magic) }; {
	case begins("\x1f\x8b"):
		plain, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, resource.Invalidf("InvalidArchive", "The archive is damaged: %v.", err)
		}
		return archiveReader{plain}, nil
	case begins("BZh"):
		return archiveReader{bzip2.NewReader(buffered)}, nil
	case begins("\xfd7zXZ\x00"):
		return nil, unsupported("xz")
	case begins("\x28\xb5\x2f\xfd"):
		return nil, unsupported("zstd")
	}
	return buffered, nil
}

func unsupported(name string) error {
	return resource.Errorf(resource.Unsupported, "UnsupportedArchive", "The archive is packed by %s, which is not unpacked here; pack it by gzip.", name)
}

// archiveReader classes what damaged compression gives.
type archiveReader struct{ r io.Reader }

func (a archiveReader) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	var damaged bzip2.StructuralError
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.As(err, &damaged) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = resource.Invalidf("InvalidArchive", "The archive is damaged or cut off: %v.", err)
	}
	return n, err
}
