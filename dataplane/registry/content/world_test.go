package content_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/mem"
	"github.com/alvara-ml/alvara/store/sqlite"
)

const key = "0b1c2d3e-registry"

// clock is moved by tests.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: store.Stamp(time.Now())} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is an engine, what it stands on, and one registry.
type world struct {
	*content.Registry
	t       testing.TB
	ctx     context.Context
	engine  *content.Engine
	clock   *clock
	store   store.Store
	folder  string // "" in memory
	options content.Options
}

func inMemory(t testing.TB) *world {
	c := newClock()
	return (&world{t: t, clock: c, store: mem.New(mem.WithClock(c.Now)), options: content.Options{Driver: inmemory.New()}}).open()
}

func onDisk(t testing.TB) *world {
	folder, c := t.TempDir(), newClock()
	s, err := sqlite.Open(context.Background(), filepath.Join(folder, "store.db"), sqlite.WithClock(c.Now))
	if err != nil {
		t.Fatal(err)
	}
	return (&world{t: t, clock: c, store: s, folder: filepath.Join(folder, "registry")}).open()
}

func (w *world) open() *world {
	w.t.Helper()
	w.t.Cleanup(func() { _ = w.store.Close(context.Background()) })
	w.ctx = context.Background()
	w.restart()
	return w
}

// restart makes a new engine over the same documents and bytes.
func (w *world) restart() {
	w.t.Helper()
	w.options.Store, w.options.Clock = w.store, w.clock.Now
	var err error
	if w.folder != "" {
		w.engine, err = content.OpenDisk(w.ctx, w.folder, w.options)
	} else {
		w.engine, err = content.Open(w.ctx, w.options)
	}
	w.must(err)
	w.Registry = w.engine.Registry(key, content.Limits{})
}

// limited is the registry with a quota.
func (w *world) limited(quota int64) *world {
	limited := *w
	limited.Registry = w.engine.Registry(key, content.Limits{Quota: quota})
	return &limited
}

// each runs a test over every driver.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("memory", func(t *testing.T) { t.Parallel(); test(t, inMemory(t)) })
	t.Run("disk", func(t *testing.T) { t.Parallel(); test(t, onDisk(t)) })
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// refused checks an error's kind and code.
func (w *world) refused(err error, kind resource.Kind, code string) {
	w.t.Helper()
	e, ok := resource.AsError(err)
	if !ok || e.Kind != kind || e.Code != code || e.Message == "" {
		w.t.Fatalf("got error %v, want kind %d and code %s", err, kind, code)
	}
}

func sum(text string) string { return digest.FromString(text).String() }

// pushBlob uploads a blob in one piece.
func (w *world) pushBlob(repo, text string) string {
	w.t.Helper()
	d, err := w.tryBlob(repo, text)
	w.must(err)
	return d
}

func (w *world) tryBlob(repo, text string) (string, error) {
	upload, err := w.BeginUpload(w.ctx, repo)
	if err != nil {
		return "", err
	}
	blob, err := w.CommitUpload(w.ctx, repo, upload.ID, content.Append, strings.NewReader(text), sum(text))
	return blob.Digest, err
}

func descriptor(mediaType, digest string, size int) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest, "size": size}
}

// image is an OCI manifest of a config and layers, given as their texts; subject may be "".
func image(config string, layers []string, subject string) string {
	m := map[string]any{
		"schemaVersion": 2, "mediaType": content.MediaTypeImage,
		"config": descriptor("application/vnd.oci.image.config.v1+json", sum(config), len(config)),
	}
	all := []any{}
	for _, layer := range layers {
		all = append(all, descriptor("application/vnd.oci.image.layer.v1.tar", sum(layer), len(layer)))
	}
	m["layers"] = all
	if subject != "" {
		m["subject"] = descriptor(content.MediaTypeImage, subject, 100)
	}
	return text(m)
}

// index is an OCI index of manifests given as their texts.
func index(manifests ...string) string {
	all := []any{}
	for _, m := range manifests {
		all = append(all, descriptor(content.MediaTypeImage, sum(m), len(m)))
	}
	return text(map[string]any{"schemaVersion": 2, "mediaType": content.MediaTypeIndex, "manifests": all})
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// push pushes an image of one config and one layer, both made from a name, under a reference.
func (w *world) push(repo, reference, name string) string {
	w.t.Helper()
	w.pushBlob(repo, config(name))
	w.pushBlob(repo, "layer "+name)
	return w.put(repo, reference, named(name))
}

func config(name string) string {
	return fmt.Sprintf(`{"architecture":"amd64","os":"linux","name":%q}`, name)
}

func named(name string) string { return image(config(name), []string{"layer " + name}, "") }

// put pushes a manifest.
func (w *world) put(repo, reference, manifest string) string {
	w.t.Helper()
	pushed, err := w.PutManifest(w.ctx, repo, reference, "", []byte(manifest))
	w.must(err)
	if pushed.Digest != sum(manifest) {
		w.t.Fatalf("digest %s, want %s", pushed.Digest, sum(manifest))
	}
	return pushed.Digest
}

// pull reads a manifest and all that it names, and fails when anything is not there or not right.
func (w *world) pull(repo, reference string) string {
	w.t.Helper()
	d, err := w.tryPull(repo, reference)
	w.must(err)
	return d
}

func (w *world) tryPull(repo, reference string) (string, error) {
	manifest, body, err := w.Manifest(w.ctx, repo, reference)
	if err != nil {
		return "", err
	}
	if manifest.Digest != digest.FromBytes(body).String() {
		return "", fmt.Errorf("manifest %s has other bytes", manifest.Digest)
	}
	var m struct {
		Config            *struct{ Digest string }
		Layers, Manifests []struct{ Digest string }
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return "", err
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, layer := range m.Layers {
		if _, err := w.read(repo, layer.Digest); err != nil {
			return "", fmt.Errorf("manifest %s: %w", manifest.Digest, err)
		}
	}
	for _, child := range m.Manifests {
		if _, err := w.tryPull(repo, child.Digest); err != nil {
			return "", fmt.Errorf("index %s: %w", manifest.Digest, err)
		}
	}
	return manifest.Digest, nil
}

func (w *world) read(repo, dgst string) (string, error) {
	blob, body, err := w.OpenBlob(w.ctx, repo, dgst)
	if err != nil {
		return "", err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err == nil && (digest.FromBytes(b).String() != dgst || int64(len(b)) != blob.Size) {
		err = fmt.Errorf("blob %s has other bytes", dgst)
	}
	return string(b), err
}

func (w *world) collect(grace, retention time.Duration) content.Report {
	w.t.Helper()
	report, err := w.Collect(w.ctx, content.CollectOptions{Grace: grace, Retention: retention})
	w.must(err)
	return report
}
