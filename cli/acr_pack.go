package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// buildContext is a folder as it goes to a build: its files without what .dockerignore leaves out.
type buildContext struct {
	root       string
	dockerfile string // its path in the archive, with slashes
	ignorefile string // the path of the ignore file in the archive, "" when there is none
	matcher    *patternmatcher.PatternMatcher
	added      map[string][]byte // files of the archive that the folder does not have so

	Skipped []string // what no archive holds: sockets, devices, pipes
	Files   int
}

// versionControl is left out unless an ignore file brings it back, as az does: history is no part of an image.
var versionControl = []string{"**/.git", "**/.hg", "**/.svn", "**/.bzr"}

// openContext finds the Dockerfile and the ignore file of a folder. The Dockerfile is looked for in the folder, then where
// the command runs; one outside of the folder comes along under another name, which the ignore file keeps out of images.
func openContext(root, dockerfile string) (*buildContext, error) {
	resolved, err := filepath.EvalSymlinks(root)
	if err == nil {
		resolved, err = filepath.Abs(resolved)
	}
	if err != nil {
		return nil, fmt.Errorf("the folder %s cannot be packed: %w", root, err)
	}
	if info, err := os.Stat(resolved); err != nil || !info.IsDir() {
		return nil, usagef("%s is no folder; name the folder with the files of the build", root)
	}
	b := &buildContext{root: resolved, added: map[string][]byte{}}
	file := dockerfile
	if !filepath.IsAbs(file) {
		file = filepath.Join(resolved, dockerfile)
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(dockerfile) {
		if here, hereErr := os.Stat(dockerfile); hereErr == nil {
			file, info, err = dockerfile, here, nil
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("there is no Dockerfile %s in %s nor in the current folder; name it with --file", dockerfile, root)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, usagef("--file: %s is no file", dockerfile)
	}
	return b, b.place(file)
}

// place decides where Dockerfile and ignore file stand in the archive, and reads the patterns.
func (b *buildContext) place(file string) error {
	folder, err := filepath.Abs(filepath.Dir(file))
	if err == nil {
		folder, err = filepath.EvalSymlinks(folder)
	}
	if err != nil {
		return err
	}
	relative, err := filepath.Rel(b.root, filepath.Join(folder, filepath.Base(file)))
	inside := err == nil && filepath.IsLocal(relative)
	// A link is followed where it is not the build that follows it: the archive has the file itself.
	if inside {
		if info, err := os.Lstat(file); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			inside = false
		}
	}
	var rules []byte
	for _, candidate := range []string{file + ".dockerignore", filepath.Join(b.root, ".dockerignore")} {
		text, err := os.ReadFile(candidate)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		rules, b.ignorefile = text, candidate
		break
	}
	if b.ignorefile != "" {
		if name, err := filepath.Rel(b.root, b.ignorefile); err == nil && filepath.IsLocal(name) {
			b.ignorefile = filepath.ToSlash(name)
		} else {
			b.ignorefile = "" // comes along under its new name
		}
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(rules))
	if err != nil {
		return fmt.Errorf(".dockerignore cannot be read: %w", err)
	}
	if b.matcher, err = patternmatcher.New(append(slices.Clone(versionControl), patterns...)); err != nil {
		return fmt.Errorf(".dockerignore: %w", err)
	}
	if inside {
		b.dockerfile = filepath.ToSlash(relative)
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// The name comes from the content, so that the same input gives the same archive.
	sum := sha256.Sum256(text)
	b.dockerfile = ".dockerfile." + hex.EncodeToString(sum[:8])
	b.ignorefile = b.dockerfile + ".dockerignore"
	b.added[b.dockerfile] = text
	b.added[b.ignorefile] = fmt.Appendf(slices.Clone(rules), "\n%s\n%s\n", b.dockerfile, b.ignorefile)
	return nil
}

// needed tells the files that a build reads itself and that no pattern leaves out.
func (b *buildContext) needed(name string) bool { return name == b.dockerfile || name == b.ignorefile }

// write writes the archive: entries in the order of their names, owned by nobody, links as links.
func (b *buildContext) write(w io.Writer) error {
	packed := gzip.NewWriter(w)
	archive := tar.NewWriter(packed)
	for _, name := range slices.Sorted(maps.Keys(b.added)) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(b.added[name])), Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(b.added[name]); err != nil {
			return err
		}
		b.Files++
	}
	root, err := os.OpenRoot(b.root)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := b.folder(root, archive, ".", patternmatcher.MatchInfo{}, &parents{}); err != nil {
		return err
	}
	return errors.Join(archive.Close(), packed.Close())
}

// parents are the folders above an entry that are left out by themselves and written when something in them is not.
type parents struct {
	above  *parents
	header *tar.Header // nil once it is written
}

func (p *parents) write(archive *tar.Writer) error {
	if p == nil || p.header == nil {
		return nil
	}
	if err := p.above.write(archive); err != nil {
		return err
	}
	err := archive.WriteHeader(p.header)
	p.header = nil
	return err
}

func (b *buildContext) folder(root *os.Root, archive *tar.Writer, dir string, matched patternmatcher.MatchInfo, above *parents) error {
	opened, err := root.Open(filepath.FromSlash(dir))
	if err != nil {
		return err
	}
	entries, err := opened.ReadDir(-1)
	opened.Close()
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, c fs.DirEntry) int { return strings.Compare(a.Name(), c.Name()) })
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		ignored, info, err := b.matcher.MatchesUsingParentResults(filepath.FromSlash(name), matched)
		if err != nil {
			return fmt.Errorf(".dockerignore: %w", err)
		}
		ignored = ignored && !b.needed(name)
		switch {
		case ignored && !entry.IsDir():
			continue
		case ignored && !b.matcher.Exclusions() && !strings.HasPrefix(b.dockerfile, name+"/") && !strings.HasPrefix(b.ignorefile, name+"/"):
			continue // nothing in it can be brought back
		}
		if _, replaced := b.added[name]; replaced {
			continue
		}
		if err := b.entry(root, archive, name, ignored, info, above); err != nil {
			return err
		}
	}
	return nil
}

func (b *buildContext) entry(root *os.Root, archive *tar.Writer, name string, ignored bool, matched patternmatcher.MatchInfo, above *parents) error {
	info, err := root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	target := ""
	switch mode := info.Mode(); {
	case mode.IsRegular(), mode.IsDir():
	case mode&fs.ModeSymlink != 0:
		if target, err = root.Readlink(filepath.FromSlash(name)); err != nil {
			return err
		}
	default:
		b.Skipped = append(b.Skipped, name)
		return nil
	}
	header, err := tar.FileInfoHeader(info, filepath.ToSlash(target))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	header.Name, header.Format = name, tar.FormatPAX
	header.Uid, header.Gid, header.Uname, header.Gname = 0, 0, "", ""
	header.ModTime = header.ModTime.Truncate(time.Second)
	header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
	if info.IsDir() {
		header.Name += "/"
		here := &parents{above: above, header: header}
		if !ignored {
			if err := here.write(archive); err != nil {
				return err
			}
		}
		return b.folder(root, archive, name, matched, here)
	}
	if err := above.write(archive); err != nil {
		return err
	}
	b.Files++
	if !info.Mode().IsRegular() {
		return archive.WriteHeader(header)
	}
	return b.file(root, archive, name, header)
}

func (b *buildContext) file(root *os.Root, archive *tar.Writer, name string, header *tar.Header) error {
	file, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	n, err := io.Copy(archive, io.LimitReader(file, header.Size))
	if err == nil && n < header.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("packing %s, which must not change meanwhile: %w", name, err)
	}
	return nil
}
