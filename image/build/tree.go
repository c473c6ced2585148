package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/alvara-ml/alvara/image/dockerfile"
	"github.com/alvara-ml/alvara/image/layer"
)

// origin is what an instruction takes files from.
type origin struct {
	layer.Tree
	stack *layer.Stack // nil for the context
	// layers names the content of a stage or an image; nil for the context, whose files are looked at themselves.
	layers  []string
	folders []string // the lowest first
	title   string
}

func (o origin) close() {
	if o.stack != nil {
		o.stack.Close()
	}
}

// tree opens what --from names; "" is the context.
func (s *session) tree(ctx context.Context, stage *dockerfile.Stage, word string) (origin, error) {
	if word == "" {
		return origin{Tree: s.Context, title: "the context"}, nil
	}
	source := stage.Sources()[word]
	at := s.done[source.Stage]
	title := "the stage " + word
	if source.Stage == nil && source.Image == dockerfile.Scratch {
		at = &state{}
	} else if source.Stage == nil {
		title = "the image " + word
		var err error
		if at, err = s.fromImage(s.images[source.Image]); err != nil {
			return origin{}, err
		}
	}
	folders, err := s.folders(ctx, at)
	if err != nil {
		return origin{}, err
	}
	stack, err := layer.OpenStack(s.Store.Owners, folders)
	if err != nil {
		return origin{}, err
	}
	return origin{Tree: stack, stack: stack, layers: append([]string{}, at.diffIDs()...), folders: folders, title: title}, nil
}

// walk goes through a tree in order. rel is "." at the beginning.
func walk(ctx context.Context, t layer.Tree, name, rel string, visit func(name, rel string, info layer.Info) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := t.Lstat(name)
	if err != nil {
		return err
	}
	if err := visit(name, rel, info); err != nil || !info.IsDir() {
		return err
	}
	names, err := t.Names(name)
	if err != nil {
		return err
	}
	for _, base := range names {
		if err := walk(ctx, t, path.Join(name, base), path.Join(rel, base), visit); err != nil {
			return err
		}
	}
	return nil
}

// sumOf is the digest of all that copying a part of the context depends on.
func sumOf(ctx context.Context, t layer.Tree, name string, left func(rel string) bool) (string, error) {
	sum := sha256.New()
	err := walk(ctx, t, name, ".", func(name, rel string, info layer.Info) error {
		if left(rel) {
			return nil
		}
		fmt.Fprintf(sum, "%q %s %o %q\n", rel, info.Type, info.Mode, info.Link)
		if info.Type&fs.ModeType != 0 {
			return nil
		}
		file, err := t.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		content := sha256.New()
		if _, err := io.Copy(content, file); err != nil {
			return err
		}
		_, err = fmt.Fprintf(sum, "%x\n", content.Sum(nil))
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}
