package blob

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/google/uuid"
)

// source is what a copy or a rename reads from.
type source struct {
	at        address
	host      string
	query     url.Values
	url       string // without the query
	account   Account
	container Container
	who       subject
}

// sourceOf reads the header that names the source, when the operation has one.
func (s *Server) sourceOf(q *request) (*source, error) {
	if from := q.header("x-ms-rename-source"); from != "" && q.op.name == "RenamePath" {
		return s.renameSource(q, from)
	}
	from := q.header("x-ms-copy-source")
	if from == "" {
		return nil, nil
	}
	u, err := url.Parse(from)
	if err != nil || u.Host == "" {
		return nil, errHeader("x-ms-copy-source", from, "the URL of a blob of this server")
	}
	if !s.ours(u.Host, q.http) {
		return nil, resource.Invalidf("CannotVerifyCopySource", "the copy source is on %s; only blobs of this server can be copied", u.Host).At("x-ms-copy-source")
	}
	out := &source{host: u.Host, query: u.Query(), url: u.Scheme + "://" + u.Host + u.EscapedPath()}
	if out.at, err = s.parseAddress(u.Host, u.EscapedPath()); err != nil {
		return nil, err
	}
	if out.at.container == "" || out.at.path == "" {
		return nil, errHeader("x-ms-copy-source", from, "the URL of a blob of this server")
	}
	if out.query.Get("snapshot") != "" || out.query.Get("versionid") != "" {
		return nil, resource.Errorf(resource.Unsupported, "UnsupportedQueryParameter", "snapshots and versions of blobs are not offered")
	}
	return out, nil
}

// renameSource reads /{filesystem}/{path}, with a SAS behind it perhaps, of the same account.
func (s *Server) renameSource(q *request, from string) (*source, error) {
	path, query, _ := strings.Cut(from, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, errHeader("x-ms-rename-source", from, "/<filesystem>/<path>")
	}
	container, name, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	out := &source{host: q.http.Host, query: values, at: address{account: q.at.account}}
	if out.at.container, err = unescape(container); err != nil {
		return nil, err
	}
	if out.at.path, err = unescape(name); err != nil {
		return nil, err
	}
	if out.at.path = strings.Trim(out.at.path, "/"); out.at.container == "" || out.at.path == "" {
		return nil, errHeader("x-ms-rename-source", from, "/<filesystem>/<path>")
	}
	return out, nil
}

// openSource opens what is copied, under the conditions on it. The reader stands at the part's first byte.
func (s *Server) openSource(q *request) (Object, Reader, span, error) {
	c, err := q.conditions("x-ms-source-")
	if err != nil {
		return Object{}, nil, span{}, err
	}
	o, reader, err := s.Objects.Open(q.http.Context(), q.source.container.Key, q.source.at.path)
	if q.source.container.Key == "" || resource.KindOf(err) == resource.NotFound && err != nil {
		return Object{}, nil, span{}, resource.NotFoundf("CannotVerifyCopySource", "The specified copy source does not exist.")
	}
	if err != nil {
		return Object{}, nil, span{}, err
	}
	part, _, err := parseRange(q.header("x-ms-source-range"), o.Size)
	if err == nil && c.forRead(o) != nil {
		err = resource.Errorf(resource.PreconditionFailed, "SourceConditionNotMet", "The source condition specified using HTTP conditional header(s) is not met.")
	}
	if err == nil {
		_, err = reader.Seek(part.from, io.SeekStart)
	}
	if err != nil {
		_ = reader.Close() // nothing was written
		return Object{}, nil, span{}, err
	}
	return o, reader, part, nil
}

// copyBlob copies within the server. A copy is done when it is answered, whether it was asked to be or not.
func (s *Server) copyBlob(q *request) error {
	given, headers, c, tier, err := q.described(false)
	if err != nil {
		return err
	}
	fromURL := q.op.name == "PutBlobFromURL"
	if kind := q.header("x-ms-blob-type"); fromURL && kind != string(BlockBlob) {
		return errHeader("x-ms-blob-type", kind, "BlockBlob")
	}
	from, reader, _, err := s.openSource(q)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // nothing was written
	id := uuid.NewString()
	o, err := s.Objects.Copy(q.http.Context(), q.container.Key, q.at.path, reader, func(current *Object) (Object, error) {
		o := Object{Kind: from.Kind, Headers: from.Headers, Metadata: from.Metadata, Tier: tier,
			Copied: &Copied{ID: id, Source: q.source.url, At: s.Clock()}}
		if len(given) > 0 {
			o.Metadata = given
		}
		if fromURL {
			o.Kind = BlockBlob
			if q.header("x-ms-copy-source-blob-properties") == "false" {
				o.Headers = Headers{}
			}
			o.Headers.replace(headers)
		}
		return o, q.mayWrite(c, current)
	})
	if err != nil {
		return err
	}
	h := q.w.Header()
	writeVersion(h, o)
	if fromURL {
		return q.answer(http.StatusCreated)
	}
	h.Set("x-ms-copy-id", id)
	h.Set("x-ms-copy-status", "success")
	return q.answer(http.StatusAccepted)
}

// replace takes over the headers that are given.
func (h *Headers) replace(by Headers) {
	set := func(field *string, value string) {
		if value != "" {
			*field = value
		}
	}
	set(&h.ContentType, by.ContentType)
	set(&h.ContentEncoding, by.ContentEncoding)
	set(&h.ContentLanguage, by.ContentLanguage)
	set(&h.ContentDisposition, by.ContentDisposition)
	set(&h.CacheControl, by.CacheControl)
	if by.ContentMD5 != nil {
		h.ContentMD5 = by.ContentMD5
	}
}
