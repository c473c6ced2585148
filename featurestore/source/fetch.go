package source

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// Options say how much of a source is needed. The zero value takes all of it.
type Options struct {
	// Column and [Start, End) leave out parquet files whose statistics prove that they have no row there. A zero Start
	// or End is open.
	Column     string
	Start, End time.Time
	// Progress is told the bytes that are there and those that are wanted; it may be called concurrently.
	Progress func(done, total int64)
	// Place names the source in messages; "" is its path.
	Place string
	// Names, when it is there, is told what each local file is in the container.
	Names Names
}

// Names are the objects' names by the base names of the local files that they were downloaded to.
type Names map[string]string

// Explain names the objects in a message that speaks of local files.
func (n Names) Explain(err error) error {
	e, ok := resource.AsError(err)
	if !ok {
		return err
	}
	explained := *e
	for local, object := range n {
		explained.Message = strings.ReplaceAll(explained.Message, local, object)
		if filepath.Base(explained.Target) == local {
			explained.Target = object
		}
	}
	return &explained
}

const (
	fetchStreams = 4 // files at a time
	maxFiles     = 100_000
	attempts     = 3 // for a file that is replaced while it is read
)

// Fetch downloads the files of a source into dir, in the order of their names, under names of its own that keep the
// ending. It gives their local paths: none when no file can hold a row that is asked for.
//
// Errors are *resource.Error: Invalid (code InvalidSourceData) when nothing is there, Forbidden with the service's words
// about the missing action, Unavailable when files were replaced under its hands; those of the lake.Bucket otherwise.
func Fetch(ctx context.Context, bucket lake.Bucket, src spec.Source, dir string, options Options) ([]string, error) {
	if options.Place == "" {
		options.Place = src.URI
	}
	objects, err := list(ctx, bucket, src)
	if err != nil {
		return nil, explain(err, options.Place)
	}
	if len(objects) == 0 {
		return nil, resource.Invalidf(engine.CodeSource, "The source path %s matches no file. Check the path and its wildcards against the container's contents.", options.Place).At("source.path")
	}
	if src.Type == spec.Parquet && options.Column != "" {
		if objects, err = prune(ctx, bucket, objects, options); err != nil {
			return nil, explain(err, options.Place)
		}
	}
	files, err := download(ctx, bucket, objects, dir, options.Progress)
	if err != nil {
		return nil, explain(err, options.Place)
	}
	for i, file := range files {
		if options.Names != nil {
			options.Names[filepath.Base(file)] = objects[i].Name
		}
	}
	return files, nil
}

func list(ctx context.Context, bucket lake.Bucket, src spec.Source) ([]lake.Object, error) {
	var objects []lake.Object
	folders := map[string]bool{}
	err := bucket.List(ctx, src.Prefix(), func(o lake.Object) error {
		for at := strings.LastIndexByte(o.Name, '/'); at > 0; at = strings.LastIndexByte(o.Name[:at], '/') {
			if folders[o.Name[:at]] {
				break
			}
			folders[o.Name[:at]] = true
		}
		if strings.HasSuffix(o.Name, "/") || !src.Match(o.Name) {
			return nil
		}
		if objects = append(objects, o); len(objects) > maxFiles {
			return resource.Invalidf(engine.CodeSource, "The source has more than %d files. Narrow its path, or write fewer, larger files.", maxFiles)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	kept := objects[:0]
	for _, o := range objects {
		if o.Size == 0 && folders[o.Name] {
			continue // the mark of a folder
		}
		kept = append(kept, o)
	}
	return kept, nil
}

func download(ctx context.Context, bucket lake.Bucket, objects []lake.Object, dir string, progress func(done, total int64)) ([]string, error) {
	var done atomic.Int64
	var total int64
	for _, o := range objects {
		total += o.Size
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	progress(0, total)
	files := make([]string, len(objects))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetchStreams)
	for i, o := range objects {
		files[i] = filepath.Join(dir, fmt.Sprintf("%06d%s", i, ending(o.Name)))
		group.Go(func() error {
			if err := one(ctx, bucket, o.Name, files[i]); err != nil {
				return err
			}
			progress(done.Add(o.Size), total)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		for _, file := range files {
			_ = os.Remove(file) // what came before the failure
		}
		return nil, err
	}
	return files, nil
}

// one downloads a file, again when it is replaced meanwhile.
func one(ctx context.Context, bucket lake.Bucket, name, local string) error {
	for attempt := 1; ; attempt++ {
		_, err := lake.Download(ctx, bucket, name, local)
		switch kind := resource.KindOf(err); {
		case err == nil:
			return nil
		case kind != resource.Conflict && kind != resource.NotFound:
			return err
		case attempt == attempts || kind == resource.NotFound:
			return resource.Errorf(resource.Unavailable, "SourceChanged", "The file %s was replaced or removed while it was read; try again when the source is at rest.", name).Because(err)
		}
	}
}

var endings = regexp.MustCompile(`(\.[a-z0-9]{1,10}){1,2}$`)

// ending is what a local name keeps of an object's: the engine tells compression by it.
func ending(name string) string { return endings.FindString(strings.ToLower(path.Base(name))) }

// explain says of a refusal that it is the source which may not be read.
func explain(err error, place string) error {
	e, ok := resource.AsError(err)
	if !ok {
		return err
	}
	said := *e
	switch e.Kind {
	case resource.Forbidden:
		said.Message = fmt.Sprintf("The source %s may not be read. %s", place, e.Message)
	case resource.Unauthenticated:
		said.Message = fmt.Sprintf("The source %s cannot be read: its storage does not accept the token. %s", place, e.Message)
	case resource.NotFound:
		said.Kind, said.Code = resource.Invalid, engine.CodeSource
		said.Message = fmt.Sprintf("The source %s does not exist: %s", place, e.Message)
	default:
		return err
	}
	said.Cause = err
	return &said
}
