package registry

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
)

// getManifest answers with a manifest in the form in which it was pushed: a digest stands for its bytes, so there is no
// conversion. A client whose Accept does not have the media type gets it all the same, as from other registries.
func (s *Server) getManifest(q *request) error {
	var manifest content.Manifest
	var bytes []byte
	var err error
	if ctx, held := q.http.Context(), s.content(q); q.http.Method == http.MethodHead {
		manifest, err = held.StatManifest(ctx, q.at.repository, q.at.reference)
	} else {
		manifest, bytes, err = held.Manifest(ctx, q.at.repository, q.at.reference)
	}
	if err != nil {
		return err
	}
	h := q.w.Header()
	etag := `"` + manifest.Digest + `"`
	h.Set("Docker-Content-Digest", manifest.Digest)
	h.Set("ETag", etag)
	if matches(q.header("If-None-Match"), etag) {
		return q.answerBytes(http.StatusNotModified, nil)
	}
	h.Set("Content-Type", manifest.MediaType)
	h.Set("Content-Length", strconv.FormatInt(manifest.Size, 10))
	return q.answerBytes(http.StatusOK, bytes)
}

// matches tells whether a list of entity tags, as If-None-Match has it, holds one.
func matches(list, etag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == etag || one == "*" {
			return true
		}
	}
	return false
}

func (s *Server) putManifest(q *request) error {
	body, err := q.readBody(content.MaxManifest, "manifest")
	if err != nil {
		return err
	}
	mediaType, _, _ := strings.Cut(q.header("Content-Type"), ";")
	pushed, err := s.content(q).PutManifest(q.http.Context(), q.at.repository, q.at.reference, strings.TrimSpace(mediaType), body)
	if err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("Location", "/v2/"+q.at.repository+"/manifests/"+pushed.Digest)
	h.Set("Docker-Content-Digest", pushed.Digest)
	if pushed.Subject != "" {
		h.Set("OCI-Subject", pushed.Subject)
	}
	return q.answerEmpty(http.StatusCreated)
}

// deleteManifest removes a manifest with its tags; by a tag's name it removes the tag alone, as the specification has it.
func (s *Server) deleteManifest(q *request) error {
	ctx, held := q.http.Context(), s.content(q)
	var err error
	if q.at.tag != "" {
		err = held.DeleteTag(ctx, q.at.repository, q.at.tag)
	} else {
		err = held.DeleteManifest(ctx, q.at.repository, q.at.digest)
	}
	if err != nil {
		return err
	}
	return q.answerEmpty(http.StatusAccepted)
}

// listTags lists the names of tags, in order.
func (s *Server) listTags(q *request) error {
	n, err := q.pageSize(0)
	if err != nil {
		return err
	}
	names := []string{}
	page := content.Page{After: q.query.Get("last")}
	if n > 0 {
		page.Limit = n + 1
	}
	tags, err := s.content(q).Tags(q.http.Context(), q.at.repository, "", page)
	if err != nil {
		return err
	}
	if q.query.Has("n") {
		if len(tags) > n {
			tags = tags[:n]
			if n > 0 {
				q.linkNext(tags[n-1].Name, n)
			}
		}
	}
	for _, tag := range tags {
		names = append(names, tag.Name)
	}
	return q.answerJSON(http.StatusOK, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{q.at.repository, names})
}

// listRepositories lists the names of the repositories that the caller may see, in order.
func (s *Server) listRepositories(q *request) error {
	n, err := q.pageSize(pageACR)
	if err != nil {
		return err
	}
	names, more, err := s.visibleRepositories(q, q.query.Get("last"), n)
	if err != nil {
		return err
	}
	if q.recordList != nil {
		if err := q.recordList(names); err != nil {
			return err
		}
	}
	if more {
		q.linkNext(names[n-1], n)
	}
	return q.answerJSON(http.StatusOK, map[string][]string{"repositories": names})
}

// visibleRepositories collects n names after one, and tells whether there are more.
func (s *Server) visibleRepositories(q *request, after string, n int) (names []string, more bool, err error) {
	const batch = 500
	names = []string{}
	for n > 0 {
		some, err := s.content(q).Repositories(q.http.Context(), after, batch)
		if err != nil {
			return nil, false, err
		}
		for _, name := range some {
			if !q.visible(name) {
				continue
			}
			if len(names) == n {
				return names, true, nil
			}
			names = append(names, name)
		}
		if len(some) < batch {
			break
		}
		after = some[len(some)-1]
	}
	return names, false, nil
}

// referrers lists the manifests whose subject is a digest. There may be none, also for a digest that is not there.
func (s *Server) referrers(q *request) error {
	artifactType := q.query.Get("artifactType")
	found, err := s.content(q).Referrers(q.http.Context(), q.at.repository, q.at.digest, artifactType)
	if err != nil {
		return err
	}
	h := q.w.Header()
	if artifactType != "" {
		h.Set("OCI-Filters-Applied", "artifactType")
	}
	const index = "application/vnd.oci.image.index.v1+json"
	h.Set("Content-Type", index)
	return q.answerJSON(http.StatusOK, struct {
		SchemaVersion int                  `json:"schemaVersion"`
		MediaType     string               `json:"mediaType"`
		Manifests     []content.Descriptor `json:"manifests"`
	}{2, index, found})
}
