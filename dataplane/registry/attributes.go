package registry

import (
	"net/http"
	"time"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

// The shapes of /acr/v1, version 2021-07-01.
type (
	acrRepositoryBody struct {
		Registry   string             `json:"registry"`
		ImageName  string             `json:"imageName"`
		Created    string             `json:"createdTime"`
		Updated    string             `json:"lastUpdateTime"`
		Manifests  int                `json:"manifestCount"`
		Tags       int                `json:"tagCount"`
		Size       int64              `json:"size"`
		Attributes content.Attributes `json:"changeableAttributes"`
	}

	acrTagBody struct {
		Name       string             `json:"name"`
		Digest     string             `json:"digest"`
		Created    string             `json:"createdTime"`
		Updated    string             `json:"lastUpdateTime"`
		Signed     bool               `json:"signed"`
		Attributes content.Attributes `json:"changeableAttributes"`
	}

	acrManifestBody struct {
		Digest          string             `json:"digest"`
		ImageSize       int64              `json:"imageSize"`
		Created         string             `json:"createdTime"`
		Updated         string             `json:"lastUpdateTime"`
		Architecture    string             `json:"architecture,omitempty"`
		OS              string             `json:"os,omitempty"`
		MediaType       string             `json:"mediaType"`
		ConfigMediaType string             `json:"configMediaType,omitempty"`
		ArtifactType    string             `json:"artifactType,omitempty"`
		Tags            []string           `json:"tags,omitempty"`
		References      []content.Platform `json:"references,omitempty"`
		Attributes      content.Attributes `json:"changeableAttributes"`
	}
)

func acrTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }

// listBody is the answer of a list or of one member: the fields that both have, and one more.
func (q *request) listBody(field string, value any) map[string]any {
	return map[string]any{"registry": q.registry.LoginServer, "imageName": q.at.repository, field: value}
}

func tagBody(t content.Tag) acrTagBody {
	return acrTagBody{Name: t.Name, Digest: t.Digest, Created: acrTime(t.Created), Updated: acrTime(t.Updated), Attributes: t.Attributes}
}

func manifestBody(m content.Manifest) acrManifestBody {
	return acrManifestBody{
		Digest: m.Digest, ImageSize: m.ImageSize, Created: acrTime(m.Created), Updated: acrTime(m.Updated), Architecture: m.Architecture, OS: m.OS,
		MediaType: m.MediaType, ConfigMediaType: m.ConfigMediaType, ArtifactType: m.ArtifactType, Tags: m.Tags, References: m.Platforms, Attributes: m.Attributes,
	}
}

// changes reads the body of a PATCH.
func (q *request) changes() (content.Changes, error) {
	var changes content.Changes
	if err := q.readJSON(&changes); err != nil {
		return changes, err
	}
	if changes == (content.Changes{}) {
		return changes, resource.Invalidf(codeInvalidParameter, "the body names nothing to change; expected one of deleteEnabled, writeEnabled, readEnabled, listEnabled")
	}
	return changes, nil
}

func (s *Server) getRepository(q *request) error {
	repository, err := s.content(q).Repository(q.http.Context(), q.at.repository)
	if err != nil {
		return err
	}
	return q.answerRepository(repository)
}

func (s *Server) updateRepository(q *request) error {
	changes, err := q.changes()
	if err != nil {
		return err
	}
	repository, err := s.content(q).SetRepositoryAttributes(q.http.Context(), q.at.repository, changes)
	if err != nil {
		return err
	}
	return q.answerRepository(repository)
}

func (q *request) answerRepository(r content.Repository) error {
	return q.answerJSON(http.StatusOK, acrRepositoryBody{
		Registry: q.registry.LoginServer, ImageName: r.Name, Created: acrTime(r.Created), Updated: acrTime(r.Updated),
		Manifests: r.Manifests, Tags: r.Tags, Size: r.Size, Attributes: r.Attributes,
	})
}

func (s *Server) deleteRepository(q *request) error {
	deleted, err := s.content(q).DeleteRepository(q.http.Context(), q.at.repository)
	if err != nil {
		return err
	}
	return q.answerJSON(http.StatusAccepted, map[string][]string{"manifestsDeleted": deleted.Manifests, "tagsDeleted": deleted.Tags})
}

// page reads n, last and orderby.
func (q *request) page() (content.Page, error) {
	n, err := q.pageSize(pageACR)
	page := content.Page{After: q.query.Get("last"), Limit: n}
	switch order := q.query.Get("orderby"); order {
	case "", "none":
	case "timeasc":
		page.Order = content.OldestFirst
	case "timedesc":
		page.Order = content.NewestFirst
	default:
		return page, errParameter("orderby", order, "timeasc, timedesc or none")
	}
	if err == nil && n == 0 {
		err = errParameter("n", "0", "a number of at least 1")
	}
	return page, err
}

func (s *Server) listTagAttributes(q *request) error {
	page, err := q.page()
	if err != nil {
		return err
	}
	digest := q.query.Get("digest")
	if digest != "" {
		if err := content.CheckDigest(digest); err != nil {
			return err
		}
	}
	n := page.Limit
	page.Limit++
	tags, err := s.content(q).Tags(q.http.Context(), q.at.repository, digest, page)
	if err != nil {
		return err
	}
	if len(tags) > n {
		tags = tags[:n]
		q.linkNext(tags[n-1].Name, n)
	}
	bodies := make([]acrTagBody, len(tags))
	for i, tag := range tags {
		bodies[i] = tagBody(tag)
	}
	return q.answerJSON(http.StatusOK, q.listBody("tags", bodies))
}

func (s *Server) getTag(q *request) error {
	tag, err := s.content(q).DescribeTag(q.http.Context(), q.at.repository, q.at.tag)
	if err != nil {
		return err
	}
	return q.answerJSON(http.StatusOK, q.listBody("tag", tagBody(tag)))
}

func (s *Server) updateTag(q *request) error {
	changes, err := q.changes()
	if err != nil {
		return err
	}
	tag, err := s.content(q).SetTagAttributes(q.http.Context(), q.at.repository, q.at.tag, changes)
	if err != nil {
		return err
	}
	return q.answerJSON(http.StatusOK, q.listBody("tag", tagBody(tag)))
}

func (s *Server) deleteTag(q *request) error {
	if err := s.content(q).DeleteTag(q.http.Context(), q.at.repository, q.at.tag); err != nil {
		return err
	}
	return q.answerEmpty(http.StatusAccepted)
}

func (s *Server) listManifestAttributes(q *request) error {
	page, err := q.page()
	if err != nil {
		return err
	}
	n := page.Limit
	page.Limit++
	manifests, err := s.content(q).Manifests(q.http.Context(), q.at.repository, page)
	if err != nil {
		return err
	}
	if len(manifests) > n {
		manifests = manifests[:n]
		q.linkNext(manifests[n-1].Digest, n)
	}
	bodies := make([]acrManifestBody, len(manifests))
	for i, manifest := range manifests {
		bodies[i] = manifestBody(manifest)
	}
	return q.answerJSON(http.StatusOK, q.listBody("manifests", bodies))
}

func (s *Server) getManifestAttributes(q *request) error {
	manifest, err := s.content(q).DescribeManifest(q.http.Context(), q.at.repository, q.at.digest)
	if err != nil {
		return err
	}
	return q.answerJSON(http.StatusOK, q.listBody("manifest", manifestBody(manifest)))
}

func (s *Server) updateManifest(q *request) error {
	changes, err := q.changes()
	if err != nil {
		return err
	}
	manifest, err := s.content(q).SetManifestAttributes(q.http.Context(), q.at.repository, q.at.digest, changes)
	if err != nil {
		return err
	}
	return q.answerJSON(http.StatusOK, q.listBody("manifest", manifestBody(manifest)))
}
