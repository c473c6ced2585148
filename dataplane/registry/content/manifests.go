package content

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/alvara-ml/alvara/store"
)

// Manifest reads a manifest by tag or digest. Errors: NAME_INVALID, TAG_INVALID, DIGEST_INVALID, MANIFEST_UNKNOWN; DENIED
// when the repository, the tag or the manifest is locked against reading.
func (r *Registry) Manifest(ctx context.Context, repo, reference string) (Manifest, []byte, error) {
	manifest, err := r.StatManifest(ctx, repo, reference)
	if err != nil {
		return Manifest{}, nil, err
	}
	s, err := r.enter(ctx)
	if err != nil {
		return Manifest{}, nil, err
	}
	body, err := s.bytes.read(ctx, manifest.Digest)
	if errors.Is(err, errNoBytes) { // gone between the two, or lost
		if _, err := r.StatManifest(ctx, repo, manifest.Digest); err != nil {
			return Manifest{}, nil, err
		}
	}
	return manifest, body, err
}

// StatManifest is Manifest without the bytes.
func (r *Registry) StatManifest(ctx context.Context, repo, reference string) (Manifest, error) {
	if err := CheckRepositoryName(repo); err != nil {
		return Manifest{}, err
	}
	if err := checkReference(reference); err != nil {
		return Manifest{}, err
	}
	if _, err := r.readable(ctx, repo); err != nil {
		return Manifest{}, err
	}
	// A tag may be moved, and the manifest it left deleted, between the two reads: look again.
	for range 100 {
		dgst := reference
		if !IsDigest(reference) {
			tag, err := get[Tag](ctx, r.engine, r.tagKey(repo, reference))
			if err != nil {
				return Manifest{}, err
			}
			if !tag.present() {
				return Manifest{}, unknownManifest(repo, reference)
			}
			if !tag.body.Attributes.ReadEnabled {
				return Manifest{}, locked("tag", reference, "readEnabled")
			}
			dgst = tag.body.Digest
		}
		manifest, err := get[manifestDocument](ctx, r.engine, r.manifestKey(repo, dgst))
		if err != nil {
			return Manifest{}, err
		}
		if !manifest.present() && !IsDigest(reference) {
			continue
		}
		if !manifest.present() {
			break
		}
		if !manifest.body.Attributes.ReadEnabled {
			return Manifest{}, locked("manifest", dgst, "readEnabled")
		}
		return manifest.body.Manifest, nil
	}
	return Manifest{}, unknownManifest(repo, reference)
}

// DescribeManifest tells about a manifest by its digest, whether it may be pulled or not. Errors: NAME_INVALID,
// DIGEST_INVALID, MANIFEST_UNKNOWN.
func (r *Registry) DescribeManifest(ctx context.Context, repo, digest string) (Manifest, error) {
	document, err := r.manifest(ctx, repo, digest)
	return document.body.Manifest, err
}

func (r *Registry) manifest(ctx context.Context, repo, digest string) (found[manifestDocument], error) {
	if err := checkBlob(repo, digest); err != nil {
		return found[manifestDocument]{}, err
	}
	document, err := get[manifestDocument](ctx, r.engine, r.manifestKey(repo, digest))
	if err == nil && !document.present() {
		err = unknownManifest(repo, digest)
	}
	return document, err
}

// Manifests lists the manifests of a repository that have ListEnabled, in the page's order. Errors: NAME_INVALID,
// NAME_UNKNOWN.
func (r *Registry) Manifests(ctx context.Context, repo string, page Page) ([]Manifest, error) {
	if _, err := r.repository(ctx, repo); err != nil {
		return nil, err
	}
	documents, err := list[manifestDocument](ctx, r.engine, kindManifest, r.below("manifests", repo))
	if err != nil {
		return nil, err
	}
	var all []Manifest
	for _, document := range documents {
		if document.body.Attributes.ListEnabled {
			all = append(all, document.body.Manifest)
		}
	}
	return cut(all, page, func(m Manifest) (string, time.Time) { return m.Digest, m.Updated }), nil
}

// cut gives a page of things that are sorted by name. After stands for a place by name alone when the thing of that name
// is gone, which in an order of time is the beginning.
func cut[T any](all []T, page Page, place func(T) (string, time.Time)) []T {
	if page.Order != ByName {
		slices.SortStableFunc(all, func(a, b T) int {
			_, ta := place(a)
			_, tb := place(b)
			if page.Order == NewestFirst {
				return tb.Compare(ta)
			}
			return ta.Compare(tb)
		})
	}
	start := 0
	if page.After != "" {
		for i, thing := range all {
			name, _ := place(thing)
			if name == page.After || page.Order == ByName && name < page.After {
				start = i + 1
			}
		}
	}
	all = all[start:]
	if page.Limit > 0 && len(all) > page.Limit {
		all = all[:page.Limit]
	}
	return slices.Clip(all)
}

// Referrers lists the manifests whose subject is a digest, in the order of their digests; the subject itself need not be
// there. artifactType selects by type, "" does not. Errors: NAME_INVALID, DIGEST_INVALID; DENIED while reading is locked.
func (r *Registry) Referrers(ctx context.Context, repo, digest, artifactType string) ([]Descriptor, error) {
	if err := checkBlob(repo, digest); err != nil {
		return nil, err
	}
	if _, err := r.readable(ctx, repo); err != nil {
		return nil, err
	}
	documents, err := r.engine.options.Store.List(ctx, store.Query{Kind: kindReferrer, Prefix: r.below("referrers", repo) + encoded(digest) + ":"})
	if err != nil {
		return nil, err
	}
	referrers := []Descriptor{}
	for _, document := range documents {
		var referrer Descriptor
		if err := json.Unmarshal(document.Body, &referrer); err != nil {
			return nil, err
		}
		if artifactType == "" || referrer.ArtifactType == artifactType {
			referrers = append(referrers, referrer)
		}
	}
	slices.SortFunc(referrers, func(a, b Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	return referrers, nil
}

// SetManifestAttributes changes what may be done with a manifest. It holds from the moment of the answer on. Errors: as
// DescribeManifest.
func (r *Registry) SetManifestAttributes(ctx context.Context, repo, digest string, changes Changes) (Manifest, error) {
	var changed Manifest
	err := r.change(ctx, func(s *space) error {
		document, err := r.manifest(ctx, repo, digest)
		if err != nil {
			return err
		}
		now := r.engine.now()
		s.touch(now, document.key)
		document.body.Attributes, document.body.Updated = changes.apply(document.body.Attributes), now
		changed = document.body.Manifest
		_, err = r.engine.apply(ctx, document.put(kindManifest, document.body))
		return err
	})
	return changed, err
}

// DeleteManifest removes a manifest with all its tags, and what it said as a referrer. Its blobs stay for the next
// collection. Errors: as DescribeManifest; DENIED when the repository, the manifest or one of its tags is locked.
func (r *Registry) DeleteManifest(ctx context.Context, repo, digest string) error {
	if err := checkBlob(repo, digest); err != nil {
		return err
	}
	return r.change(ctx, func(s *space) error {
		parent, err := r.deletable(ctx, repo)
		if err != nil {
			return err
		}
		document, err := r.manifest(ctx, repo, digest)
		if err != nil {
			return err
		}
		if err := document.body.Attributes.deletable("manifest", digest); err != nil {
			return err
		}
		ops := append([]store.Op{parent.expect()}, r.removeManifest(repo, document)...)
		for _, name := range document.body.Tags {
			tag, err := get[Tag](ctx, r.engine, r.tagKey(repo, name))
			if err != nil {
				return err
			}
			if err := tag.body.Attributes.deletable("tag", name); tag.present() && err != nil {
				return err
			}
			ops = append(ops, store.Delete{Key: tag.key, IfMatch: tag.condition()})
		}
		s.touch(r.engine.now(), document.key)
		if _, err := r.engine.apply(ctx, ops...); err != nil {
			return err
		}
		s.release(digest)
		return nil
	})
}

// removeManifest removes a manifest's document, and the one that has it as a referrer.
func (r *Registry) removeManifest(repo string, document found[manifestDocument]) []store.Op {
	ops := []store.Op{document.remove()}
	if document.body.Subject != "" {
		ops = append(ops, store.Delete{Key: r.referrerKey(repo, document.body.Subject, document.body.Digest)})
	}
	return ops
}
