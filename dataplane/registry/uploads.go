package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

// startUpload begins to receive a blob, or receives all of it when the digest is in the URL.
func (s *Server) startUpload(q *request) error {
	digest := q.query.Get("digest")
	if q.query.Has("digest") {
		if err := content.CheckDigest(digest); err != nil {
			return err
		}
	}
	ctx, held := q.http.Context(), s.content(q)
	upload, err := held.BeginUpload(ctx, q.at.repository)
	if err != nil {
		return err
	}
	if !q.query.Has("digest") {
		q.describeUpload(upload)
		return q.answerEmpty(http.StatusAccepted)
	}
	blob, err := held.CommitUpload(ctx, q.at.repository, upload.ID, 0, q.chunk(-1), digest)
	if err != nil {
		// Nobody was told of the upload, so nobody can go on with it. What is gone already is not there to cancel.
		if other := held.CancelUpload(context.WithoutCancel(ctx), q.at.repository, upload.ID); other != nil && resource.KindOf(other) != resource.NotFound {
			s.Log.Warn("an upload that failed stays until the next collection", "request", q.id, "upload", upload.ID, "error", other)
		}
		return err
	}
	return q.created(blob)
}

// mountBlob takes a blob from another repository. When that does not work, for whatever reason that lies there, the
// client gets an upload and sends the bytes: the answer must not tell what the caller may not see.
func (s *Server) mountBlob(q *request) error {
	ctx, held := q.http.Context(), s.content(q)
	if q.mountable {
		blob, err := held.MountBlob(ctx, q.at.repository, q.source, q.at.digest)
		if err == nil {
			return q.created(blob)
		}
		if kind := resource.KindOf(err); kind != resource.NotFound && kind != resource.MethodNotAllowed {
			return err
		}
	}
	upload, err := held.BeginUpload(ctx, q.at.repository)
	if err != nil {
		return err
	}
	q.describeUpload(upload)
	return q.answerEmpty(http.StatusAccepted)
}

func (s *Server) uploadStatus(q *request) error {
	upload, err := s.content(q).Upload(q.http.Context(), q.at.repository, q.at.upload)
	if err != nil {
		return err
	}
	q.describeUpload(upload)
	return q.answerEmpty(http.StatusNoContent)
}

func (s *Server) uploadChunk(q *request) error {
	at, length, err := q.chunkRange()
	if err != nil {
		return err
	}
	upload, err := s.content(q).WriteUpload(q.http.Context(), q.at.repository, q.at.upload, at, q.chunk(length))
	if err != nil {
		return s.outOfOrder(q, err)
	}
	q.describeUpload(upload)
	return q.answerEmpty(http.StatusAccepted)
}

// completeUpload takes the last chunk, when there is one, and the digest of all of them.
func (s *Server) completeUpload(q *request) error {
	digest := q.query.Get("digest")
	if err := content.CheckDigest(digest); err != nil {
		return err
	}
	at, length, err := q.chunkRange()
	if err != nil {
		return err
	}
	var body io.Reader
	if q.http.ContentLength != 0 {
		body = q.chunk(length)
	}
	blob, err := s.content(q).CommitUpload(q.http.Context(), q.at.repository, q.at.upload, at, body, digest)
	if err != nil {
		return s.outOfOrder(q, err)
	}
	return q.created(blob)
}

func (s *Server) cancelUpload(q *request) error {
	if err := s.content(q).CancelUpload(q.http.Context(), q.at.repository, q.at.upload); err != nil {
		return err
	}
	return q.answerEmpty(http.StatusNoContent)
}

// outOfOrder tells a client whose chunk did not begin where the upload is from where to go on.
func (s *Server) outOfOrder(q *request, err error) error {
	if resource.KindOf(err) != resource.RangeNotSatisfiable {
		return err
	}
	if upload, other := s.content(q).Upload(q.http.Context(), q.at.repository, q.at.upload); other == nil {
		q.describeUpload(upload)
	}
	return err
}

// describeUpload sets the headers that tell a client how to go on.
func (q *request) describeUpload(upload content.Upload) {
	h := q.w.Header()
	h.Set("Location", "/v2/"+q.at.repository+"/blobs/uploads/"+upload.ID)
	h.Set("Docker-Upload-UUID", upload.ID)
	h.Set("Range", "0-"+strconv.FormatInt(max(0, upload.Offset-1), 10))
}

func (q *request) created(blob content.Blob) error {
	h := q.w.Header()
	h.Set("Location", "/v2/"+q.at.repository+"/blobs/"+blob.Digest)
	h.Set("Docker-Content-Digest", blob.Digest)
	return q.answerEmpty(http.StatusCreated)
}

// chunkRange reads Content-Range, which has the form 0-99 here, or bytes 0-99/* as elsewhere in HTTP. Without one the chunk
// goes to the end. length is -1 when nothing is said of it.
func (q *request) chunkRange() (at, length int64, err error) {
	text := q.header("Content-Range")
	if text == "" {
		return content.Append, -1, nil
	}
	bounds, _, _ := strings.Cut(strings.TrimPrefix(text, "bytes "), "/")
	first, last, _ := strings.Cut(bounds, "-")
	from, err1 := strconv.ParseUint(first, 10, 62)
	to, err2 := strconv.ParseUint(last, 10, 62)
	if err1 != nil || err2 != nil || to < from {
		return 0, 0, resource.Invalidf(codeUploadInvalid, "the header Content-Range has the value %.100q; expected first-last, such as 0-1023", text).At("Content-Range")
	}
	length = int64(to-from) + 1
	if q.http.ContentLength >= 0 && q.http.ContentLength != length {
		return 0, 0, resource.Invalidf(codeSizeInvalid, "Content-Range says %d bytes and Content-Length %d", length, q.http.ContentLength).At("Content-Range")
	}
	return int64(from), length, nil
}

// chunk is the body of a request. When it breaks off, or has not the length that was announced, that is the client's fault.
func (q *request) chunk(length int64) io.Reader {
	return &chunk{body: q.http.Body, want: length, announced: max(length, q.http.ContentLength)}
}

type chunk struct {
	body      io.Reader
	want      int64 // -1 for any
	announced int64 // -1 when nothing is said
	got       int64
}

// Announced is the size that the client says; what has no room is refused before it is sent.
func (c *chunk) Announced() int64 { return c.announced }

func (c *chunk) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	c.got += int64(n)
	switch {
	case c.want >= 0 && c.got > c.want:
		return 0, resource.Invalidf(codeSizeInvalid, "the chunk is larger than the %d bytes that Content-Range says", c.want)
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		if _, known := resource.AsError(err); known {
			return n, err
		}
		return n, resource.Invalidf(codeSizeInvalid, "the body ended after %d bytes; ask for the upload's status and go on from there", c.got).Because(err)
	case c.want >= 0 && c.got < c.want:
		return n, resource.Invalidf(codeSizeInvalid, "the chunk has %d bytes and Content-Range says %d; ask for the upload's status and go on from there", c.got, c.want)
	}
	return n, err
}
