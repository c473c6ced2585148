package content

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// PutManifest pushes a manifest under a tag or its digest. mediaType is the Content-Type it came with; it may be "" when
// the manifest tells its type. The blobs and children that it names must be in the repository (layers that are held
// elsewhere excepted); its subject need not. Errors: NAME_INVALID, TAG_INVALID, DIGEST_INVALID; TooLarge, MANIFEST_INVALID
// above MaxManifest; Invalid, MANIFEST_INVALID; Invalid, MANIFEST_BLOB_UNKNOWN; DENIED when the repository or the
// tag is locked against writing; QUOTA_EXCEEDED; INSUFFICIENT_STORAGE.
func (r *Registry) PutManifest(ctx context.Context, repo, reference, mediaType string, body []byte) (Pushed, error) {
	if err := CheckRepositoryName(repo); err != nil {
		return Pushed{}, err
	}
	if err := checkReference(reference); err != nil {
		return Pushed{}, err
	}
	m, err := parseManifest(mediaType, body)
	if err != nil {
		return Pushed{}, err
	}
	pushed := Pushed{Digest: digest.FromBytes(body).String()}
	if IsDigest(reference) && reference != pushed.Digest {
		return Pushed{}, resource.Invalidf("DIGEST_INVALID", "the manifest has the digest %s and was pushed as %s.", pushed.Digest, reference)
	}
	if m.Subject != nil {
		pushed.Subject = m.Subject.Digest
	}
	p := &push{Registry: r, repo: repo, digest: pushed.Digest, manifest: m, body: body}
	if !IsDigest(reference) {
		p.tag = reference
	}
	if err := r.change(ctx, func(s *space) error { return p.attempt(ctx, s) }); err != nil {
		return Pushed{}, err
	}
	return pushed, nil
}

// push is one manifest on its way in.
type push struct {
	*Registry
	repo, digest, tag string // no tag: ""
	manifest          parsed
	body              []byte
	stored            bool // the bytes are
}

// attempt decides on what is there now and makes the change that depends on it.
func (p *push) attempt(ctx context.Context, s *space) error {
	now := p.engine.now()
	parent, err := p.writable(ctx, p.repo)
	if err != nil {
		return err
	}
	var ops []store.Op
	if parent.present() {
		ops = append(ops, parent.expect())
	} else {
		ops = append(ops, parent.put(kindRepository, repositoryDocument{Name: p.repo, Created: now, Updated: now, Attributes: unlocked}))
	}
	current, err := get[manifestDocument](ctx, p.engine, p.manifestKey(p.repo, p.digest))
	if err != nil {
		return err
	}
	next := current.body
	s.touch(now, current.key)
	needs, size, err := p.needs(ctx, s)
	if err != nil {
		return err
	}
	ops = append(ops, needs...)
	if !current.present() {
		next = p.describe(ctx, s)
		next.Created, next.Untagged, next.ImageSize, next.Attributes = now, now, size, unlocked
	}
	next.MediaType, next.Updated = p.manifest.MediaType, now
	if p.tag != "" {
		tagging, err := p.retag(ctx, s, &next)
		if err != nil {
			return err
		}
		ops = append(ops, tagging...)
	}
	ops = append(ops, current.put(kindManifest, next))
	if subject := p.manifest.Subject; subject != nil {
		s.touch(now, p.manifestKey(p.repo, subject.Digest))
		ops = append(ops, store.Put{
			Key: p.referrerKey(p.repo, subject.Digest, p.digest), Kind: kindReferrer,
			Body: encode(Descriptor{
				MediaType: next.MediaType, Digest: p.digest, Size: next.Size,
				ArtifactType: p.manifest.artifactType(), Annotations: p.manifest.Annotations,
			}),
		})
	}
	return p.write(ctx, s, current.present(), ops)
}

// write stores the bytes and then the documents.
func (p *push) write(ctx context.Context, s *space, present bool, ops []store.Op) error {
	if !present {
		if err := s.hold(p.digest, int64(len(p.body)), p.limits.Quota, ""); err != nil {
			return err
		}
	}
	var err error
	if !p.stored {
		err = s.bytes.put(context.WithoutCancel(ctx), p.body)
		p.stored = err == nil
	}
	if err == nil {
		_, err = p.engine.apply(ctx, ops...)
	}
	if err != nil && !present {
		s.release(p.digest)
	}
	return err
}

// needs makes the change depend on what the manifest names, and tells how large all of that is.
func (p *push) needs(ctx context.Context, s *space) ([]store.Op, int64, error) {
	var ops []store.Op
	size := int64(len(p.body))
	now := p.engine.now()
	for _, needed := range p.manifest.needed() {
		blob, err := get[blobDocument](ctx, p.engine, p.blobKey(p.repo, needed.Digest))
		if err != nil {
			return nil, 0, err
		}
		if !blob.present() {
			return nil, 0, resource.Invalidf("MANIFEST_BLOB_UNKNOWN",
				"the manifest names the blob %s, which the repository %q does not have; push it first.", needed.Digest, p.repo)
		}
		if blob.body.Size != *needed.Size {
			return nil, 0, badManifest("the manifest says that the blob %s has %d bytes; it has %d.", needed.Digest, *needed.Size, blob.body.Size)
		}
		s.touch(now, blob.key)
		size += blob.body.Size
		ops = append(ops, store.Expect{Key: blob.key, IfMatch: store.Any})
	}
	for _, needed := range p.manifest.children() {
		child, err := get[manifestDocument](ctx, p.engine, p.manifestKey(p.repo, needed.Digest))
		if err != nil {
			return nil, 0, err
		}
		if !child.present() {
			return nil, 0, resource.Invalidf("MANIFEST_BLOB_UNKNOWN",
				"the index names the manifest %s, which the repository %q does not have; push it first.", needed.Digest, p.repo)
		}
		s.touch(now, child.key)
		size += child.body.ImageSize
		ops = append(ops, store.Expect{Key: child.key, IfMatch: store.Any})
	}
	return ops, size, nil
}

// describe is what a manifest's bytes, and its config, tell.
func (p *push) describe(ctx context.Context, s *space) manifestDocument {
	m := p.manifest
	d := manifestDocument{Repository: p.repo, Annotations: m.Annotations}
	d.Digest, d.Size, d.ArtifactType = p.digest, int64(len(p.body)), m.artifactType()
	if m.Subject != nil {
		d.Subject = m.Subject.Digest
	}
	if m.Config != nil {
		d.ConfigMediaType = m.Config.MediaType
		d.Architecture, d.OS = p.platform(ctx, s)
	}
	for _, blob := range m.needed() {
		d.Blobs = append(d.Blobs, blob.Digest)
	}
	for _, child := range m.children() {
		d.Children = append(d.Children, child.Digest)
		platform := Platform{Digest: child.Digest}
		if child.Platform != nil {
			platform.Architecture, platform.OS = child.Platform.Architecture, child.Platform.OS
		}
		d.Platforms = append(d.Platforms, platform)
	}
	return d
}

// platform reads what an image runs on from its config. A config that tells nothing is a config all the same.
func (p *push) platform(ctx context.Context, s *space) (architecture, os string) {
	config := p.manifest.Config
	images := []string{"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
	if !slices.Contains(images, config.MediaType) || *config.Size > MaxManifest {
		return "", ""
	}
	text, err := s.bytes.read(ctx, config.Digest)
	if err != nil {
		return "", ""
	}
	var image struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	if json.Unmarshal(text, &image) != nil {
		return "", ""
	}
	return image.Architecture, image.OS
}

// retag has the tag point to the manifest, and the one it pointed to before know that it lost it.
func (p *push) retag(ctx context.Context, s *space, next *manifestDocument) ([]store.Op, error) {
	tag, err := get[Tag](ctx, p.engine, p.tagKey(p.repo, p.tag))
	if err != nil {
		return nil, err
	}
	if tag.present() && !tag.body.Attributes.WriteEnabled {
		return nil, locked("tag", p.tag, "writeEnabled")
	}
	now := next.Updated
	var ops []store.Op
	if tag.present() && tag.body.Digest != p.digest {
		if ops, err = p.untag(ctx, s, p.repo, tag.body); err != nil {
			return nil, err
		}
	}
	if !tag.present() {
		tag.body = Tag{Name: p.tag, Created: now, Attributes: unlocked}
	}
	tag.body.Digest, tag.body.Updated = p.digest, now
	if !slices.Contains(next.Tags, p.tag) {
		next.Tags = slices.Sorted(slices.Values(append(slices.Clone(next.Tags), p.tag)))
	}
	next.Untagged = time.Time{}
	return append(ops, tag.put(kindTag, tag.body)), nil
}

// untag takes a tag from the manifest that it points to. The tag's own document is the caller's.
func (r *Registry) untag(ctx context.Context, s *space, repo string, tag Tag) ([]store.Op, error) {
	manifest, err := get[manifestDocument](ctx, r.engine, r.manifestKey(repo, tag.Digest))
	if err != nil || !manifest.present() {
		return nil, err
	}
	now := r.engine.now()
	s.touch(now, manifest.key)
	manifest.body.Tags = slices.DeleteFunc(slices.Clone(manifest.body.Tags), func(name string) bool { return name == tag.Name })
	if len(manifest.body.Tags) == 0 {
		manifest.body.Untagged = now
	}
	manifest.body.Updated = now
	return []store.Op{manifest.put(kindManifest, manifest.body)}, nil
}
