package content

import (
	"context"
	"errors"
	"io"

	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Append, as the offset of a chunk, means wherever the upload is.
const Append = -1

// BeginUpload starts to receive a blob. Errors: NAME_INVALID; DENIED when the repository is locked against writing;
// QUOTA_EXCEEDED when nothing more may come in.
func (r *Registry) BeginUpload(ctx context.Context, repo string) (Upload, error) {
	if err := CheckRepositoryName(repo); err != nil {
		return Upload{}, err
	}
	var upload Upload
	err := r.change(ctx, func(s *space) error {
		if s.room(r.limits.Quota) == 0 {
			return overQuota(r.limits.Quota)
		}
		parent, err := r.writable(ctx, repo)
		if err != nil {
			return err
		}
		blobs, err := s.bytes.blobs(ctx)
		if err != nil {
			return err
		}
		writer, err := blobs.Create(ctx)
		if err != nil {
			return err
		}
		upload = Upload{ID: writer.ID(), Started: r.engine.now()}
		if err := shut(ctx, writer); err != nil {
			return err
		}
		put := store.Put{
			Key: r.uploadKey(repo, upload.ID), Kind: kindUpload, IfMatch: store.None,
			Body: encode(uploadDocument{ID: upload.ID, Started: upload.Started}),
		}
		_, err = r.engine.apply(ctx, parent.expect(), put)
		return err
	})
	return upload, err
}

// Upload tells how far an upload is; of one that is being written, as far as it is on the medium at this moment. Errors:
// NAME_INVALID, BLOB_UPLOAD_UNKNOWN.
func (r *Registry) Upload(ctx context.Context, repo, id string) (Upload, error) {
	c, err := r.claim(ctx, repo, id, glance)
	if resource.KindOf(err) == resource.Conflict {
		c, err = r.look(ctx, repo, id)
	}
	if err != nil {
		return Upload{}, err
	}
	defer c.leave()
	return c.progress(ctx)
}

// WriteUpload receives a chunk that begins at an offset of the blob, or Append. What arrived stays when body fails in
// between: the upload continues from there. Errors: as Upload; RangeNotSatisfiable, BLOB_UPLOAD_INVALID when the upload is
// not at the offset; Invalid, BLOB_UPLOAD_INVALID when body fails; QUOTA_EXCEEDED and INSUFFICIENT_STORAGE, after which the
// upload is gone. A body with the method Announced() int64 that says more bytes than there is room for is refused before
// it is read; a negative number says nothing.
func (r *Registry) WriteUpload(ctx context.Context, repo, id string, at int64, body io.Reader) (Upload, error) {
	c, err := r.claim(ctx, repo, id, patience)
	if err != nil {
		return Upload{}, err
	}
	defer c.leave()
	writer, err := c.resume(ctx)
	if err != nil {
		return Upload{}, err
	}
	err = c.receive(writer, at, body)
	if closed := shut(ctx, writer); err == nil { // writes what is buffered, and the state of the hash
		err = closed
	}
	if err != nil {
		return Upload{}, c.fail(ctx, err)
	}
	return c.progress(ctx)
}

// CommitUpload receives a last chunk, unless body is nil, and makes the upload a blob. Errors: as WriteUpload;
// DIGEST_INVALID when the bytes have another digest, after which the upload is gone; DENIED when the repository is locked.
func (r *Registry) CommitUpload(ctx context.Context, repo, id string, at int64, body io.Reader, digest string) (Blob, error) {
	if err := checkBlob(repo, digest); err != nil {
		return Blob{}, err
	}
	c, err := r.claim(ctx, repo, id, patience)
	if err != nil {
		return Blob{}, err
	}
	defer c.leave()
	writer, err := c.resume(ctx)
	if err != nil {
		return Blob{}, err
	}
	if body == nil {
		err = checkOffset(writer.Size(), at)
	} else {
		err = c.receive(writer, at, body)
	}
	if err != nil {
		_ = shut(ctx, writer) // the first error counts
		return Blob{}, c.fail(ctx, err)
	}
	blob, err := c.commit(ctx, writer, digest)
	if err != nil {
		_ = shut(ctx, writer)
		return Blob{}, c.fail(ctx, err)
	}
	return blob, nil
}

// CancelUpload forgets an upload. Errors: NAME_INVALID, BLOB_UPLOAD_UNKNOWN.
func (r *Registry) CancelUpload(ctx context.Context, repo, id string) error {
	c, err := r.claim(ctx, repo, id, patience)
	if err != nil {
		return err
	}
	defer c.leave()
	return c.abandon(ctx)
}

func (c *claimed) id() string { return c.document.body.ID }

func (c *claimed) progress(ctx context.Context) (Upload, error) {
	upload := Upload{ID: c.id(), Started: c.document.body.Started}
	var err error
	upload.Offset, err = c.space.received(ctx, c.id())
	return upload, err
}

func (c *claimed) resume(ctx context.Context) (distribution.BlobWriter, error) {
	blobs, err := c.space.bytes.blobs(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	writer, err := blobs.Resume(context.WithoutCancel(ctx), c.id())
	if errors.Is(err, distribution.ErrBlobUploadUnknown) {
		return nil, unknownUpload(c.id())
	}
	return writer, classed(err)
}

// shut closes a writer. When the state of the hash can't be kept, the engine's writer leaves its file open, and what an
// open file has is not free even when it is removed; only cancelling closes it then.
func shut(ctx context.Context, writer distribution.BlobWriter) error {
	err := writer.Close()
	if err != nil {
		_ = writer.Cancel(context.WithoutCancel(ctx)) // most often closed already
	}
	return err
}

// receive adds a chunk. The engine's writer keeps its hash right for one ReadFrom, not for several writes.
func (c *claimed) receive(writer distribution.BlobWriter, at int64, body io.Reader) error {
	size := writer.Size()
	if err := checkOffset(size, at); err != nil {
		return err
	}
	c.space.begun(c.id(), size)
	if announced, ok := body.(interface{ Announced() int64 }); ok {
		if room := c.space.room(c.limits.Quota); room >= 0 && announced.Announced() > room {
			return overQuota(c.limits.Quota)
		}
	}
	chunk := &chunk{body: body, space: c.space, upload: c.id(), quota: c.limits.Quota}
	_, err := writer.ReadFrom(chunk)
	if chunk.failed != nil {
		return chunk.failed
	}
	return err
}

func checkOffset(size, at int64) error {
	if at != Append && at != size {
		return resource.Errorf(resource.RangeNotSatisfiable, "BLOB_UPLOAD_INVALID",
			"the chunk begins at byte %d, and the upload is at byte %d; continue from there.", at, size)
	}
	return nil
}

// chunk reads a client's bytes, as many as there is room for, and tells the client's faults from the medium's.
type chunk struct {
	body   io.Reader
	space  *space
	upload string
	quota  int64
	failed error
}

func (c *chunk) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	if over := c.space.reserve(c.upload, int64(n), c.quota); over != nil {
		c.failed = over
		return 0, c.failed
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	c.failed = err
	if _, known := resource.AsError(err); !known {
		c.failed = resource.Invalidf("BLOB_UPLOAD_INVALID", "the chunk ended early; ask for the upload's offset and continue from there.").Because(err)
	}
	return n, c.failed
}

// commit makes an upload a blob: the bytes get their place, then the document says so.
func (c *claimed) commit(ctx context.Context, writer distribution.BlobWriter, dgst string) (Blob, error) {
	blob := Blob{Digest: dgst}
	moved := false
	err := c.change(ctx, func(s *space) error {
		parent, err := c.writable(ctx, c.repo)
		if err != nil {
			return err
		}
		document, err := get[uploadDocument](ctx, c.engine, c.document.key)
		if err != nil {
			return err
		}
		if !document.present() { // the repository was deleted in between
			return unknownUpload(c.id())
		}
		if !moved {
			descriptor, err := writer.Commit(context.WithoutCancel(ctx), v1.Descriptor{Digest: digest.Digest(dgst)})
			if err != nil {
				return badDigest(err, dgst)
			}
			blob.Size, moved = descriptor.Size, true
		}
		return c.link(ctx, s, c.repo, blob, c.id(), parent.expect(), c.document.remove())
	})
	if err == nil {
		c.space.ended(c.id()) // the repository had the blob already
	}
	if err != nil && moved {
		err = errors.Join(err, c.abandon(ctx), c.alone(ctx, func(s *space) error { return c.removeUnheld(ctx, s, dgst) }))
	}
	return blob, err
}

func badDigest(err error, dgst string) error {
	var mismatch distribution.ErrBlobInvalidDigest
	if errors.As(err, &mismatch) {
		return resource.Invalidf("DIGEST_INVALID", "the bytes received do not have the digest %s; the upload is gone, begin again.", dgst)
	}
	return err
}

// fail is the end of a request that failed, and of the upload as well when it can't be continued.
func (c *claimed) fail(ctx context.Context, err error) error {
	err = classed(err)
	if e, ok := resource.AsError(err); ok && (e.Code == "DIGEST_INVALID" || e.Code == CodeQuotaExceeded || e.Code == CodeInsufficientStorage) {
		return errors.Join(err, c.abandon(ctx))
	}
	return err
}

// abandon forgets the upload and its bytes.
func (c *claimed) abandon(ctx context.Context) error {
	if _, err := c.engine.apply(ctx, c.document.remove()); err != nil && !raced(err) {
		return err
	}
	if err := c.space.bytes.driver.Delete(context.WithoutCancel(ctx), uploadPath+"/"+c.id()); err != nil && !pathNotFound(err) {
		return err
	}
	c.space.ended(c.id())
	return nil
}
