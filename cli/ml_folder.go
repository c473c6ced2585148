package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/alvara-ml/alvara/cli/ignore"
)

// localContent is a file or a folder of this machine as it is uploaded: its files without those that stay behind, and a hash of their
// names and contents, which is the same wherever and whenever the content is.
type localContent struct {
	root   string // absolute
	name   string // the last part of root
	folder bool
	files  []localFile // in the order of their paths
	size   int64       // bytes
	hash   string      // 64 hexadecimal digits
}

type localFile struct {
	path string // with slashes, below root; the file's name when root is a file
	file string // where it is
	info fs.FileInfo
}

// skipping tells whether a path below a folder stays behind.
type skipping func(path string, folder bool) (bool, error)

// history is left out of whatever is uploaded, unless a file of patterns brings it back.
const history = ".git/\n.hg/\n.svn/\n.bzr/\n"

// ignoredInCode gives the rules of a folder's .amlignore, or of its .gitignore when there is none.
func ignoredInCode(root string) (skipping, error) {
	for _, name := range []string{".amlignore", ".gitignore", ""} {
		var text []byte
		if name != "" {
			var err error
			if text, err = os.ReadFile(filepath.Join(root, name)); errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return nil, err
			}
		}
		rules := ignore.Parse(history + string(text))
		return func(path string, folder bool) (bool, error) { return rules.Excludes(path, folder), nil }, nil
	}
	panic("unreachable")
}

// ignoredInBuilds gives the rules of a folder's .dockerignore. The Dockerfile and the rules themselves always go along.
func ignoredInBuilds(root, dockerfile string) (skipping, error) {
	text, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf(".dockerignore cannot be read: %w", err)
	}
	matcher, err := patternmatcher.New(append(slices.Clone(versionControl), patterns...))
	if err != nil {
		return nil, fmt.Errorf(".dockerignore: %w", err)
	}
	needed := path.Clean(filepath.ToSlash(dockerfile))
	return func(name string, folder bool) (bool, error) {
		if name == needed || name == ".dockerignore" || strings.HasPrefix(needed, name+"/") || (folder && matcher.Exclusions()) {
			return false, nil
		}
		return matcher.MatchesOrParentMatches(filepath.FromSlash(name))
	}, nil
}

// openLocal reads what is to be uploaded: all of its names, sizes and contents. Links are followed. rules gives what stays behind of a
// folder; nil keeps everything. what names it in refusals.
func openLocal(what, root string, rules func(root string) (skipping, error)) (*localContent, error) {
	absolute, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(absolute)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("%s: there is no %s on this machine; give a file or a folder, seen from the folder of the YAML file, or a URI", what, root)
	}
	if err != nil {
		return nil, err
	}
	c := &localContent{root: absolute, name: filepath.Base(absolute), folder: info.IsDir()}
	if !c.folder {
		if !info.Mode().IsRegular() {
			return nil, usagef("%s: %s is neither a file nor a folder", what, root)
		}
		c.files = []localFile{{c.name, absolute, info}}
	} else {
		skip := skipping(func(string, bool) (bool, error) { return false, nil })
		if rules != nil {
			if skip, err = rules(absolute); err != nil {
				return nil, err
			}
		}
		if err := c.walk(absolute, "", skip, nil); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	if len(c.files) == 0 {
		return nil, usagef("%s: the folder %s has no files that would go along", what, root)
	}
	slices.SortFunc(c.files, func(a, b localFile) int { return strings.Compare(a.path, b.path) })
	return c, c.sum()
}

// walk adds the files of a folder; above are the folders that it lies in, as they are without links.
func (c *localContent) walk(folder, below string, skip skipping, above []string) error {
	real, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return err
	}
	if slices.Contains(above, real) {
		return fmt.Errorf("the link %s leads to a folder that it lies in", folder)
	}
	above = append(slices.Clip(above), real)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name, file := path.Join(below, entry.Name()), filepath.Join(folder, entry.Name())
		// What a link leads to is asked only of those that go along: links that lead nowhere may stay behind.
		if left, err := skip(name, entry.IsDir()); err != nil || left {
			if err != nil {
				return err
			}
			continue
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			err = c.walk(file, name, skip, above)
		case info.Mode().IsRegular():
			c.files = append(c.files, localFile{name, file, info})
		default:
			err = fmt.Errorf("%s is neither a file nor a folder; leave it out with a line in .amlignore", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sum makes the hash: of each file its path, its size and the hash of its content, in the order of the paths.
func (c *localContent) sum() error {
	all := sha256.New()
	for _, f := range c.files {
		one, err := f.sum()
		if err != nil {
			return err
		}
		c.size += f.info.Size()
		fmt.Fprintf(all, "%s\x00%d\x00%x\n", f.path, f.info.Size(), one.Sum(nil))
	}
	c.hash = hex.EncodeToString(all.Sum(nil))
	return nil
}

func (f localFile) sum() (hash.Hash, error) {
	opened, err := os.Open(f.file)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	out := sha256.New()
	n, err := io.Copy(out, opened)
	if err == nil && n != f.info.Size() {
		err = f.changed()
	}
	return out, err
}

// changed is the error of a file that is not any more what was hashed.
func (f localFile) changed() error {
	return fmt.Errorf("%s changed while it was uploaded; run the command again when it does not", f.file)
}

// same tells whether the file is still the one that was hashed, as far as its size and time say.
func (f localFile) same() bool {
	now, err := os.Stat(f.file)
	return err == nil && now.Size() == f.info.Size() && now.ModTime().Equal(f.info.ModTime())
}
