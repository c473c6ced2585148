package content_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

// announced is a body that says how much it has.
type announced struct {
	io.Reader
	size int64
}

func (a announced) Announced() int64 { return a.size }

// unread fails the test that reads it.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, io.EOF
}

// Uploads that are not complete count: several together take no more than there is room for, whether the server is
// restarted in between or not, and one that ends gives its room back.
func TestQuotaOfUploadsUnderWay(t *testing.T) {
	each(t, func(t *testing.T, plain *world) {
		w := plain.limited(1000)
		first, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		second, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		_, err = w.WriteUpload(w.ctx, "app", first.ID, 0, strings.NewReader(strings.Repeat("x", 700)))
		w.must(err)
		_, err = w.WriteUpload(w.ctx, "app", second.ID, 0, strings.NewReader(strings.Repeat("y", 301)))
		w.refused(err, resource.Forbidden, content.CodeQuotaExceeded)
		plain.restart()
		w = plain.limited(1000)
		if w.folder != "" {
			_, err = w.tryBlob("app", strings.Repeat("y", 301))
			w.refused(err, resource.Forbidden, content.CodeQuotaExceeded)
		}
		w.pushBlob("app", strings.Repeat("y", 300))
		_, err = w.BeginUpload(w.ctx, "app")
		w.refused(err, resource.Forbidden, content.CodeQuotaExceeded)
		w.must(w.CancelUpload(w.ctx, "app", first.ID))
		third, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		_, err = w.CommitUpload(w.ctx, "app", third.ID, 0, strings.NewReader(strings.Repeat("z", 700)), sum(strings.Repeat("z", 700)))
		w.must(err) // its own bytes are counted once
		used, err := w.Usage(w.ctx)
		w.must(err)
		equal(t, used, 1000)
	})
}

// What is announced and has no room is refused before a byte of it is read, and the upload is gone.
func TestAnnouncedSize(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.limited(1000)
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		_, err = w.WriteUpload(w.ctx, "app", upload.ID, 0, announced{strings.NewReader(strings.Repeat("x", 600)), 600})
		w.must(err)
		_, err = w.WriteUpload(w.ctx, "app", upload.ID, 600, announced{unread{t}, 401})
		w.refused(err, resource.Forbidden, content.CodeQuotaExceeded)
		_, err = w.Upload(w.ctx, "app", upload.ID)
		w.refused(err, resource.NotFound, "BLOB_UPLOAD_UNKNOWN")
		w.pushBlob("app", strings.Repeat("y", 1000))
	})
}

// The uploads of a repository that is deleted count no longer after a collection.
func TestQuotaAfterDeletion(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w = w.limited(10_000)
		w.pushBlob("app", "{}")
		_, err := w.PutManifest(w.ctx, "app", "1", "", []byte(image("{}", nil, "")))
		w.must(err)
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		_, err = w.WriteUpload(w.ctx, "app", upload.ID, 0, strings.NewReader(strings.Repeat("x", 6000)))
		w.must(err)
		_, err = w.tryBlob("other", strings.Repeat("y", 9000))
		w.refused(err, resource.Forbidden, content.CodeQuotaExceeded)
		_, err = w.DeleteRepository(w.ctx, "app")
		w.must(err)
		_, err = w.Collect(w.ctx, content.CollectOptions{Grace: time.Hour})
		w.must(err)
		w.pushBlob("other", strings.Repeat("y", 9000))
	})
}

// While somebody writes to an upload its state can be asked for, and what came before a failure stays.
func TestStateWhileWriting(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		upload, err := w.BeginUpload(w.ctx, "app")
		w.must(err)
		body, client := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			_, err := w.WriteUpload(context.Background(), "app", upload.ID, 0, body)
			ended <- err
		}()
		_, err = client.Write([]byte("hel"))
		w.must(err)
		during, err := w.Upload(w.ctx, "app", upload.ID)
		w.must(err)
		if during.ID != upload.ID || during.Offset > 3 {
			t.Errorf("while it is written the upload is %+v", during)
		}
		_ = client.CloseWithError(errors.New("silent"))
		w.refused(<-ended, resource.Invalid, "BLOB_UPLOAD_INVALID")
		after, err := w.Upload(w.ctx, "app", upload.ID)
		w.must(err)
		equal(t, after.Offset, int64(3))
		_, err = w.CommitUpload(w.ctx, "app", upload.ID, 3, strings.NewReader("lo"), sum("hello"))
		w.must(err)
	})
}
