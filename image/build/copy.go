package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/patternmatcher"

	"github.com/alvara-ml/alvara/image/dockerfile"
	"github.com/alvara-ml/alvara/image/layer"
)

// copying is a COPY or an ADD.
type copying struct {
	instructions.SourcesAndDest
	chown, chmod       string
	exclude            []string
	from               origin
	unpack, mustUnpack bool
}

// source is one that was found.
type source struct {
	name string // in the tree; leads through no link
	base string // what it is called at the destination
	info layer.Info
}

// copyKey is all that a copy's layer depends on beside the layers below.
type copyKey struct {
	Kind, Destination, Chown, Chmod string
	Exclude, Bases, Sums, Inline    []string
	Layers                          []string
	Unpack                          bool
}

func (s *session) copy(ctx context.Context, at *state, step dockerfile.Step, c copying) error {
	destination := inside(at.config, c.DestPath)
	folder := strings.HasSuffix(c.DestPath, "/") || c.DestPath == "." || strings.HasSuffix(c.DestPath, "/.")
	excluded, err := c.excluder(step)
	if err != nil {
		return err
	}
	mode, err := c.mode(step)
	if err != nil {
		return err
	}
	sources, err := c.find(step)
	if err != nil {
		return err
	}
	if len(sources)+len(c.SourceContents) > 1 && !folder {
		if len(c.SourcePaths)+len(c.SourceContents) > 1 {
			return failed(step, "with more than one source the destination must be a folder and end with /, and %s does not", c.DestPath)
		}
		folder = true // a pattern that matches several
	}
	key := copyKey{Kind: "copy", Destination: fmt.Sprint(destination, folder), Chown: c.chown, Chmod: c.chmod, Exclude: c.exclude, Unpack: c.unpack, Layers: c.from.layers}
	for _, found := range sources {
		sum := found.name
		if c.from.layers == nil {
			if sum, err = sumOf(ctx, c.from, found.name, excluded); err != nil {
				return err
			}
		}
		key.Bases, key.Sums = append(key.Bases, found.base), append(key.Sums, sum)
	}
	for _, inline := range c.SourceContents {
		key.Inline = append(key.Inline, inline.Path, inline.Data)
	}
	return s.change(ctx, at, key, step.Text, func(upper, _ string, below []string) error {
		changes, err := layer.Begin(s.Store.Owners, upper, below)
		if err != nil {
			return err
		}
		defer changes.Close()
		w := &writer{ctx: ctx, session: s, step: step, copying: c, to: changes, excluded: excluded, mode: mode}
		if w.uid, w.gid, err = owner(changes.Tree(), c.chown); err != nil {
			return failed(step, "--chown=%s: %v", c.chown, err)
		}
		return w.write(destination, folder, sources)
	})
}

// find gives the sources of the instruction's patterns.
func (c *copying) find(step dockerfile.Step) ([]source, error) {
	var found []source
	for _, pattern := range c.SourcePaths {
		if clean := path.Clean(strings.TrimLeft(pattern, "/")); clean == ".." || strings.HasPrefix(clean, "../") {
			return nil, failed(step, "%s leads out of %s; put the file into it", pattern, c.from.title)
		}
		clean := strings.TrimPrefix(path.Clean("/"+pattern), "/")
		if clean == "" {
			clean = "."
		}
		names := []string{clean}
		wild := strings.ContainsAny(clean, "*?[")
		if wild {
			var err error
			if names, err = glob(c.from, clean); err != nil {
				return nil, failed(step, "the pattern %s cannot be understood: %v", pattern, err)
			}
		}
		before := len(found)
		for _, name := range names {
			resolved, err := layer.Resolve(c.from, name, true)
			if err == nil {
				var info layer.Info
				if info, err = c.from.Lstat(resolved); err == nil {
					found = append(found, source{name: resolved, base: path.Base(name), info: info})
				}
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, failed(step, "%s: %v", pattern, err)
			}
		}
		if len(found) == before {
			return nil, failed(step, "%s has no file %s, or .dockerignore leaves it out", c.from.title, pattern)
		}
	}
	return found, nil
}

// glob gives the names that match a pattern with wildcards, which match within one part of a name.
func glob(t layer.Tree, pattern string) ([]string, error) {
	at := []string{"."}
	for part := range strings.SplitSeq(pattern, "/") {
		var next []string
		for _, folder := range at {
			resolved, err := layer.Resolve(t, folder, true)
			if err != nil {
				continue // a loop of links matches nothing
			}
			if !strings.ContainsAny(part, "*?[") {
				if _, err := t.Lstat(path.Join(resolved, part)); err == nil {
					next = append(next, path.Join(folder, part))
				}
				continue
			}
			names, err := t.Names(resolved)
			if err != nil {
				continue // no folder
			}
			for _, name := range names {
				matches, err := path.Match(part, name)
				if err != nil {
					return nil, err
				}
				if matches {
					next = append(next, path.Join(folder, name))
				}
			}
		}
		at = next
	}
	return at, nil
}

// excluder says what --exclude leaves out, by the name below the source.
func (c *copying) excluder(step dockerfile.Step) (func(rel string) bool, error) {
	if len(c.exclude) == 0 {
		return func(string) bool { return false }, nil
	}
	matcher, err := patternmatcher.New(c.exclude)
	if err != nil {
		return nil, failed(step, "--exclude has a pattern that cannot be understood: %v", err)
	}
	return func(rel string) bool {
		matches, err := matcher.MatchesOrParentMatches(rel)
		return err == nil && matches && rel != "."
	}, nil
}

// mode reads --chmod; nil keeps the source's.
func (c *copying) mode(step dockerfile.Step) (*fs.FileMode, error) {
	if c.chmod == "" {
		return nil, nil
	}
	bits, err := strconv.ParseUint(c.chmod, 8, 32)
	if err != nil || bits > 0o7777 {
		return nil, failed(step, "--chmod=%s is no mode; write it as an octal number such as 0755", c.chmod)
	}
	mode := fs.FileMode(bits & 0o777)
	for bit, flag := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if bits&bit != 0 {
			mode |= flag
		}
	}
	return &mode, nil
}
