package content

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Options are what an Engine works with.
type Options struct {
	Driver storagedriver.StorageDriver
	Root   string // the driver's folder when it is the file system, so that blobs open as files; "" otherwise
	Store  store.Store
	Clock  func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: nothing is logged
}

// Engine holds the content of all registries of a server. It must be the only one that writes their documents and bytes.
// All methods may be called concurrently.
type Engine struct {
	options Options
	started time.Time // what was touched before is not known, so all counts as touched then

	mu     sync.Mutex
	spaces map[string]*space
	closed bool
}

// Open makes an engine. Nothing is read yet: a registry's state is read when it is first used.
func Open(_ context.Context, options Options) (*Engine, error) {
	if options.Driver == nil || options.Store == nil {
		return nil, errors.New("registry content: a driver and a store are needed")
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Engine{options: options, started: store.Stamp(options.Clock()), spaces: map[string]*space{}}, nil
}

// OpenDisk makes an engine that keeps bytes below a folder, which is created when it is absent. Driver and Root of the
// options are filled in.
func OpenDisk(ctx context.Context, folder string, options Options) (*Engine, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	options.Root = folder
	options.Driver = filesystem.New(filesystem.DriverParameters{RootDirectory: folder, MaxThreads: 1000})
	return Open(ctx, options)
}

// Close forgets what is in memory. Calls that are under way end as they can; later ones are refused.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.spaces = map[string]*space{}
	return nil
}

// Registry gives the registry of a key, which need not hold anything yet. It costs nothing.
func (e *Engine) Registry(key string, limits Limits) *Registry {
	return &Registry{engine: e, key: key, limits: limits}
}

// Registry is the content of one registry. All methods may be called concurrently; names are checked by every method, so
// any text may be given.
type Registry struct {
	engine *Engine
	key    string
	limits Limits
}

// Drop forgets everything of a registry. Dropping what is not there, or half gone, succeeds; after an error or a crash
// it must be called again. The key must not be used any more.
func (e *Engine) Drop(ctx context.Context, key string) error {
	s, err := e.space(key)
	if err != nil {
		return err
	}
	defer s.close()()
	s.dropped = true
	if err := e.dropDocuments(ctx, key); err != nil {
		return err
	}
	err = e.options.Driver.Delete(ctx, "/"+key)
	if err != nil && !pathNotFound(err) {
		return err
	}
	return nil
}

// dropDocuments removes a registry's documents in batches. What is visible goes first.
func (e *Engine) dropDocuments(ctx context.Context, key string) error {
	const batch = 500
	for _, kind := range []string{kindRepository, kindTag, kindReferrer, kindManifest, kindBlob, kindUpload} {
		for {
			documents, err := e.options.Store.List(ctx, store.Query{Kind: kind, Prefix: prefix(key), Limit: batch})
			if err != nil {
				return err
			}
			if len(documents) == 0 {
				break
			}
			ops := make([]store.Op, len(documents))
			for i, document := range documents {
				ops[i] = store.Delete{Key: document.Key}
			}
			if _, err := e.apply(ctx, ops...); err != nil {
				return err
			}
		}
	}
	return nil
}

// apply makes a change. Once begun it is carried out: a caller who went away must not leave us unsure of what is stored.
func (e *Engine) apply(ctx context.Context, ops ...store.Op) ([]store.Document, error) {
	return e.options.Store.Apply(context.WithoutCancel(ctx), ops...)
}

func (e *Engine) now() time.Time { return store.Stamp(e.options.Clock()) }

// space gives what is in memory of a registry.
func (e *Engine) space(key string) (*space, error) {
	if !registryKey.MatchString(key) {
		return nil, fmt.Errorf("registry content: %q is no key of a registry", key)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, resource.Errorf(resource.Unavailable, "UNAVAILABLE", "the server is shutting down; try again.")
	}
	s, ok := e.spaces[key]
	if !ok {
		s = &space{
			held: map[string]*holding{}, touched: map[string]time.Time{}, uploads: map[string]*session{}, coming: map[string]int64{},
			bytes: newBytes(e.options, key),
		}
		e.spaces[key] = s
	}
	return s, nil
}
