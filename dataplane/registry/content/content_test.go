package content_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

func equal[T any](t testing.TB, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// BX-01: what is pushed is pulled, by tag and by digest, from the repository it was pushed to and no other.
func TestPushAndPull(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.push("team/app", "V1.0", "a")
		equal(t, w.pull("team/app", "V1.0"), d)
		equal(t, w.pull("team/app", d), d)
		_, err := w.StatManifest(w.ctx, "team/app", "v1.0") // tags have case
		w.refused(err, resource.NotFound, "MANIFEST_UNKNOWN")
		_, err = w.StatBlob(w.ctx, "team/other", sum("layer a"))
		w.refused(err, resource.NotFound, "BLOB_UNKNOWN")
		_, err = w.StatManifest(w.ctx, "team/other", d)
		w.refused(err, resource.NotFound, "MANIFEST_UNKNOWN")

		m, err := w.DescribeManifest(w.ctx, "team/app", d)
		w.must(err)
		equal(t, []any{m.Architecture, m.OS, m.Tags, m.MediaType, m.ImageSize}, []any{"amd64", "linux", []string{"V1.0"},
			content.MediaTypeImage, int64(len(named("a")) + len(config("a")) + len("layer a"))})
		used, err := w.Usage(w.ctx)
		w.must(err)
		equal(t, used, m.ImageSize)
		w.restart() // the counts are read again
		used, err = w.Usage(w.ctx)
		w.must(err)
		equal(t, used, m.ImageSize)
		info, err := w.Repository(w.ctx, "team/app")
		w.must(err)
		equal(t, []any{info.Manifests, info.Tags, info.Size}, []any{1, 1, m.ImageSize})
	})
}

func TestBlobsOnDiskAreFiles(t *testing.T) {
	w := onDisk(t)
	d := w.pushBlob("app", "hello")
	_, body, err := w.OpenBlob(w.ctx, "app", d)
	w.must(err)
	defer body.Close()
	if _, ok := body.(*os.File); !ok {
		t.Errorf("the blob is a %T; sendfile needs an *os.File", body)
	}
}

func TestEmptyBlob(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.pushBlob("app", "")
		body, err := w.read("app", d)
		w.must(err)
		equal(t, body, "")
	})
}

func TestUploadInChunks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		upload, err = w.WriteUpload(w.ctx, "app", upload.ID, 0, strings.NewReader("hello "))
		w.must(err)
		equal(t, upload.Offset, 6)
		w.restart() // an upload survives it
		_, err = w.WriteUpload(w.ctx, "app", upload.ID, 3, strings.NewReader("x"))
		w.refused(err, resource.RangeNotSatisfiable, "BLOB_UPLOAD_INVALID")
		_, err = w.Upload(w.ctx, "other", upload.ID) // it belongs to its repository
		w.refused(err, resource.NotFound, "BLOB_UPLOAD_UNKNOWN")
		upload, err = w.WriteUpload(w.ctx, "app", upload.ID, 6, strings.NewReader("wor"))
		w.must(err)
		equal(t, upload.Offset, 9)
		blob, err := w.CommitUpload(w.ctx, "app", upload.ID, 9, strings.NewReader("ld"), sum("hello world"))
		w.must(err)
		equal(t, blob, content.Blob{Digest: sum("hello world"), Size: 11})
		body, err := w.read("app", blob.Digest)
		w.must(err)
		equal(t, body, "hello world")
		_, err = w.Upload(w.ctx, "app", upload.ID)
		w.refused(err, resource.NotFound, "BLOB_UPLOAD_UNKNOWN")

		// Without a body, and of a content that is there already.
		upload, err = w.BeginUpload(w.ctx, "app")
		w.must(err)
		_, err = w.WriteUpload(w.ctx, "app", upload.ID, content.Append, strings.NewReader("hello world"))
		w.must(err)
		_, err = w.CommitUpload(w.ctx, "app", upload.ID, content.Append, nil, sum("hello world"))
		w.must(err)
		used, err := w.Usage(w.ctx)
		w.must(err)
		equal(t, used, 11)
	})
}

func TestTruncatedChunkContinues(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		_, err = w.WriteUpload(w.ctx, "app", upload.ID, 0, io.MultiReader(strings.NewReader("hel"), broken{}))
		w.refused(err, resource.Invalid, "BLOB_UPLOAD_INVALID")
		upload, err = w.Upload(w.ctx, "app", upload.ID)
		w.must(err)
		equal(t, upload.Offset, 3)
		_, err = w.CommitUpload(w.ctx, "app", upload.ID, 3, strings.NewReader("lo"), sum("hello"))
		w.must(err)
	})
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestDigestMismatch(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		_, err = w.CommitUpload(w.ctx, "app", upload.ID, 0, strings.NewReader("other"), sum("hello"))
		w.refused(err, resource.Invalid, "DIGEST_INVALID")
		_, err = w.Upload(w.ctx, "app", upload.ID)
		w.refused(err, resource.NotFound, "BLOB_UPLOAD_UNKNOWN")
		for _, text := range []string{"hello", "other"} {
			_, err = w.StatBlob(w.ctx, "app", sum(text))
			w.refused(err, resource.NotFound, "BLOB_UNKNOWN")
		}
		_, err = w.CommitUpload(w.ctx, "app", upload.ID, 0, nil, "sha512:"+strings.Repeat("a", 128))
		w.refused(err, resource.Unsupported, "DIGEST_INVALID")
	})
}

func TestCancelledUploadIsGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		w.must(w.CancelUpload(w.ctx, "app", upload.ID))
		err = w.CancelUpload(w.ctx, "app", upload.ID)
		w.refused(err, resource.NotFound, "BLOB_UPLOAD_UNKNOWN")
		_, err = w.Upload(w.ctx, "app", "../../escape")
		w.refused(err, resource.NotFound, "BLOB_UPLOAD_UNKNOWN")
	})
}

func TestMount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.pushBlob("from", "shared")
		_, err := w.MountBlob(w.ctx, "to", "from", sum("absent"))
		w.refused(err, resource.NotFound, "BLOB_UNKNOWN")
		_, err = w.MountBlob(w.ctx, "to", "from", d)
		w.must(err)
		_, err = w.read("to", d)
		w.must(err)
		w.must(w.DeleteBlob(w.ctx, "from", d))
		_, err = w.read("from", d)
		w.refused(err, resource.NotFound, "BLOB_UNKNOWN")
		_, err = w.read("to", d)
		w.must(err)
		used, err := w.Usage(w.ctx)
		w.must(err)
		equal(t, used, 6)
		w.must(w.DeleteBlob(w.ctx, "to", d))
		used, err = w.Usage(w.ctx)
		w.must(err)
		equal(t, used, 0)
	})
}

func TestBlobInUseStays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.push("app", "1", "a")
		err := w.DeleteBlob(w.ctx, "app", sum("layer a"))
		w.refused(err, resource.MethodNotAllowed, "UNSUPPORTED")
		w.must(w.DeleteManifest(w.ctx, "app", d))
		w.must(w.DeleteBlob(w.ctx, "app", sum("layer a")))
	})
}

func TestRegistriesShareNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.push("app", "1", "a")
		other := *w
		other.Registry = w.engine.Registry("another", content.Limits{})
		_, err := other.StatBlob(w.ctx, "app", sum("layer a"))
		w.refused(err, resource.NotFound, "BLOB_UNKNOWN")
		_, err = other.MountBlob(w.ctx, "app", "app", sum("layer a"))
		w.refused(err, resource.NotFound, "BLOB_UNKNOWN")
		names, err := other.Repositories(w.ctx, "", 0)
		w.must(err)
		equal(t, names, []string{})
		other.push("app", "1", "a")
		w.must(w.engine.Drop(w.ctx, "another"))
		equal(t, w.pull("app", "1"), d)
		_, err = other.BeginUpload(w.ctx, "app")
		w.refused(err, resource.NotFound, "NAME_UNKNOWN")

		w.must(w.engine.Drop(w.ctx, key))
		w.must(w.engine.Drop(w.ctx, key))
		w.must(w.engine.Drop(w.ctx, "never-was"))
		for _, kind := range []string{"repository", "manifest", "tag", "blob", "upload", "referrer"} {
			left, err := w.store.List(w.ctx, store.Query{Kind: "registry/" + kind})
			w.must(err)
			equal(t, len(left), 0)
		}
		if w.folder != "" {
			left, err := os.ReadDir(w.folder)
			w.must(err)
			equal(t, len(left), 0)
		}
	})
}

func TestQuota(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.limited(1000)
		_, err := w.tryBlob("app", strings.Repeat("x", 1001))
		w.refused(err, resource.Forbidden, content.CodeQuotaExceeded)
		used, err := w.Usage(w.ctx)
		w.must(err)
		equal(t, used, 0)
		w.pushBlob("app", strings.Repeat("y", 900))
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		_, err = w.WriteUpload(w.ctx, "app", upload.ID, 0, strings.NewReader(strings.Repeat("z", 101)))
		w.refused(err, resource.Forbidden, content.CodeQuotaExceeded)
		_, err = w.Upload(w.ctx, "app", upload.ID)
		w.refused(err, resource.NotFound, "BLOB_UPLOAD_UNKNOWN")
		c := w.pushBlob("app", "{}")
		_, err = w.PutManifest(w.ctx, "app", "1", "", []byte(image("{}", nil, "")))
		w.refused(err, resource.Forbidden, content.CodeQuotaExceeded)
		_, err = w.Repository(w.ctx, "app")
		w.refused(err, resource.NotFound, "NAME_UNKNOWN")
		_, err = w.MountBlob(w.ctx, "other", "app", c) // nothing new
		w.must(err)
		w.pushBlob("app", strings.Repeat("z", 98))
		_, err = w.BeginUpload(w.ctx, "app")
		w.refused(err, resource.Forbidden, content.CodeQuotaExceeded)
		equal(t, w.files(), 3)
	})
}

// files counts the contents on disk, or says 3 in memory.
func (w *world) files() int {
	if w.folder == "" {
		return 3
	}
	found, err := filepath.Glob(filepath.Join(w.folder, key, "docker/registry/v2/blobs/sha256/*/*"))
	w.must(err)
	return len(found)
}

func TestCollect(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.push("app", "1", "a")
		w.pushBlob("app", "loose")
		w.pushBlob("app", "asked for")
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		equal(t, w.collect(time.Hour, 0), content.Report{})
		w.clock.pass(2 * time.Hour)
		_, err = w.StatBlob(w.ctx, "app", sum("asked for"))
		w.must(err)
		foreseen, err := w.Collect(w.ctx, content.CollectOptions{Grace: time.Hour, DryRun: true})
		w.must(err)
		equal(t, foreseen, content.Report{Blobs: 1, Uploads: 1, Bytes: 5})
		equal(t, w.collect(time.Hour, 0), foreseen)
		_, err = w.StatBlob(w.ctx, "app", sum("loose"))
		w.refused(err, resource.NotFound, "BLOB_UNKNOWN")
		_, err = w.Upload(w.ctx, "app", upload.ID)
		w.refused(err, resource.NotFound, "BLOB_UPLOAD_UNKNOWN")
		w.pull("app", "1")

		w.must(w.DeleteManifest(w.ctx, "app", d))
		w.clock.pass(2 * time.Hour)
		w.collect(time.Hour, 0)
		used, err := w.Usage(w.ctx)
		w.must(err)
		equal(t, used, 0)
		if w.folder != "" {
			equal(t, w.files(), 0)
		}
	})
}

func TestTouchesSurviveARestart(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.pushBlob("app", "loose")
		w.clock.pass(2 * time.Hour)
		_, err := w.StatBlob(w.ctx, "app", d)
		w.must(err)
		w.restart()
		w.collect(time.Hour, 0)
		_, err = w.StatBlob(w.ctx, "app", d)
		w.must(err)
	})
}

func TestRetention(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const day = 24 * time.Hour
		child := w.push("app", "c", "child")
		w.push("app", "n", "nested")
		inner := index(named("nested"))
		w.put("app", "inner", inner)
		outer := w.put("app", "outer", index(named("child"), inner))
		for _, tag := range []string{"c", "n", "inner"} {
			w.must(w.DeleteTag(w.ctx, "app", tag))
		}
		subject := w.push("app", "s", "subject")
		w.pushBlob("app", "{}")
		w.put("app", sum(image("{}", nil, subject)), image("{}", nil, subject))
		w.put("app", sum(image("{}", nil, sum("absent"))), image("{}", nil, sum("absent")))
		fixed := w.push("app", "f", "fixed")
		no := false
		_, err := w.SetManifestAttributes(w.ctx, "app", fixed, content.Changes{DeleteEnabled: &no})
		w.must(err)
		w.must(w.DeleteTag(w.ctx, "app", "f"))
		old := w.push("app", "o", "old")
		w.push("app", "o", "new")

		equal(t, w.collect(0, 2*day).Manifests, 0)
		w.clock.pass(3 * day)
		// The old one and the referrer of nothing go.
		report := w.collect(0, 2*day)
		equal(t, report.Manifests, 2)
		_, err = w.StatManifest(w.ctx, "app", old)
		w.refused(err, resource.NotFound, "MANIFEST_UNKNOWN")
		list, err := w.Referrers(w.ctx, "app", sum("absent"), "")
		w.must(err)
		equal(t, len(list), 0)
		for _, kept := range []string{outer, child, fixed, subject, "o"} {
			w.pull("app", kept)
		}
		list, err = w.Referrers(w.ctx, "app", subject, "")
		w.must(err)
		equal(t, len(list), 1)

		w.must(w.DeleteTag(w.ctx, "app", "outer"))
		w.must(w.DeleteTag(w.ctx, "app", "s"))
		equal(t, w.collect(0, 2*day).Manifests, 0) // untagged only now
		w.clock.pass(3 * day)
		equal(t, w.collect(0, 2*day).Manifests, 6)
		equal(t, w.collect(0, 0).Manifests, 0)
	})
}

func TestTornWritesAreSwept(t *testing.T) {
	w := onDisk(t)
	d := w.push("app", "1", "a")
	blobs := filepath.Join(w.folder, key, "docker/registry/v2/blobs/sha256")
	stray := sum("stray")[7:]
	for name, body := range map[string]string{
		filepath.Join(blobs, stray[:2], stray, "data.0.tmp"):                                     "half",
		filepath.Join(blobs, stray[:2], stray, "data"):                                           "never acknowledged",
		filepath.Join(blobs, d[7:9], d[7:], "data.1.tmp"):                                        "half",
		filepath.Join(w.folder, key, "docker/registry/v2/repositories/content/_uploads/0a/data"): "orphan",
	} {
		w.must(os.MkdirAll(filepath.Dir(name), 0o700))
		w.must(os.WriteFile(name, []byte(body), 0o600))
	}
	w.collect(time.Hour, 0)
	equal(t, w.files(), 3)
	left, err := filepath.Glob(filepath.Join(blobs, "*/*/*.tmp"))
	w.must(err)
	equal(t, len(left), 0)
	_, err = os.Stat(filepath.Join(w.folder, key, "docker/registry/v2/repositories/content/_uploads/0a"))
	if !os.IsNotExist(err) {
		t.Error("an upload without a document is still there")
	}
	w.pull("app", "1")
}

func TestClosedEngineRefuses(t *testing.T) {
	w := inMemory(t)
	w.must(w.engine.Close())
	_, err := w.BeginUpload(context.Background(), "app")
	w.refused(err, resource.Unavailable, "UNAVAILABLE")
}

func TestManyBytes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		big := string(bytes.Repeat([]byte("0123456789abcdef"), 1<<16))
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		for at := 0; at < len(big); at += 300_000 {
			_, err := w.WriteUpload(w.ctx, "app", upload.ID, int64(at), strings.NewReader(big[at:min(at+300_000, len(big))]))
			w.must(err)
		}
		_, err = w.CommitUpload(w.ctx, "app", upload.ID, int64(len(big)), nil, sum(big))
		w.must(err)
		body, err := w.read("app", sum(big))
		w.must(err)
		equal(t, len(body), len(big))
	})
}
