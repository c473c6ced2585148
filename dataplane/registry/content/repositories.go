package content

import (
	"context"
	"slices"
	"time"

	"github.com/alvara-ml/alvara/store"
)

// Repositories lists names in order: those after `after`, at most `limit` (0 for all). A repository is there from its first
// manifest on until it is deleted, and listed unless ListEnabled is false.
func (r *Registry) Repositories(ctx context.Context, after string, limit int) ([]string, error) {
	if _, err := r.enter(ctx); err != nil {
		return nil, err
	}
	query := store.Query{Kind: kindRepository, Prefix: r.repositoryKey(""), Limit: limit}
	if after != "" {
		query.After = r.repositoryKey(after)
	}
	names := []string{}
	for {
		documents, err := r.engine.options.Store.List(ctx, query)
		if err != nil {
			return nil, err
		}
		for _, document := range documents {
			repository, err := decode[repositoryDocument](document)
			if err != nil {
				return nil, err
			}
			if repository.body.Attributes.ListEnabled {
				names = append(names, repository.body.Name)
			}
			query.After = document.Key
		}
		if limit == 0 || len(documents) < limit || len(names) >= limit {
			if limit > 0 && len(names) > limit {
				names = names[:limit]
			}
			return names, nil
		}
	}
}

// Repository tells about a repository. Errors: NAME_INVALID, NAME_UNKNOWN.
func (r *Registry) Repository(ctx context.Context, name string) (Repository, error) {
	document, err := r.repository(ctx, name)
	if err != nil {
		return Repository{}, err
	}
	manifests, err := list[manifestDocument](ctx, r.engine, kindManifest, r.below("manifests", name))
	if err != nil {
		return Repository{}, err
	}
	tags, err := list[Tag](ctx, r.engine, kindTag, r.below("tags", name))
	if err != nil {
		return Repository{}, err
	}
	blobs, err := list[blobDocument](ctx, r.engine, kindBlob, r.below("blobs", name))
	if err != nil {
		return Repository{}, err
	}
	repository := Repository{
		Name: name, Created: document.body.Created, Updated: document.body.Updated,
		Manifests: len(manifests), Tags: len(tags), Attributes: document.body.Attributes,
	}
	sizes := map[string]int64{}
	for _, manifest := range manifests {
		sizes[manifest.body.Digest] = manifest.body.Size
		repository.Updated = later(repository.Updated, manifest.body.Updated)
	}
	for _, tag := range tags {
		repository.Updated = later(repository.Updated, tag.body.Updated)
	}
	for _, blob := range blobs {
		sizes[blob.body.Digest] = blob.body.Size
	}
	for _, size := range sizes {
		repository.Size += size
	}
	return repository, nil
}

// SetRepositoryAttributes changes what may be done with a repository. It holds from the moment of the answer on. Errors:
// NAME_INVALID, NAME_UNKNOWN.
func (r *Registry) SetRepositoryAttributes(ctx context.Context, name string, changes Changes) (Repository, error) {
	err := r.change(ctx, func(*space) error {
		document, err := r.repository(ctx, name)
		if err != nil {
			return err
		}
		document.body.Attributes = changes.apply(document.body.Attributes)
		document.body.Updated = r.engine.now()
		_, err = r.engine.apply(ctx, document.put(kindRepository, document.body))
		return err
	})
	if err != nil {
		return Repository{}, err
	}
	return r.Repository(ctx, name)
}

// DeleteRepository removes a repository with its manifests, tags, blobs and uploads, all at once. Errors: NAME_INVALID,
// NAME_UNKNOWN; DENIED when it, or a manifest or a tag in it, is locked.
func (r *Registry) DeleteRepository(ctx context.Context, name string) (Deleted, error) {
	var deleted Deleted
	var contents []string
	err := r.alone(ctx, func(s *space) error {
		var err error
		deleted, contents, err = r.deleteRepository(ctx, s, name)
		return err
	})
	if err != nil {
		return Deleted{}, err
	}
	contents = slices.Compact(slices.Sorted(slices.Values(contents)))
	for batch := range slices.Chunk(contents, 100) {
		err := r.alone(ctx, func(s *space) error {
			for _, content := range batch {
				if err := r.removeUnheld(ctx, s, content); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil { // the repository is deleted all the same
			r.engine.options.Log.ErrorContext(ctx, "bytes of a deleted repository stay until the next collection", "repository", name, "error", err)
			break
		}
	}
	return deleted, nil
}

// deleteRepository removes the documents, and gives the contents that they named.
func (r *Registry) deleteRepository(ctx context.Context, s *space, name string) (deleted Deleted, contents []string, err error) {
	deleted = Deleted{Manifests: []string{}, Tags: []string{}}
	if _, err := r.repository(ctx, name); err != nil {
		return deleted, nil, err
	}
	parent, err := r.deletable(ctx, name)
	if err != nil {
		return deleted, nil, err
	}
	ops := []store.Op{parent.remove()}
	manifests, err := list[manifestDocument](ctx, r.engine, kindManifest, r.below("manifests", name))
	if err != nil {
		return deleted, nil, err
	}
	for _, manifest := range manifests {
		if err := manifest.body.Attributes.deletable("manifest", manifest.body.Digest); err != nil {
			return deleted, nil, err
		}
		deleted.Manifests = append(deleted.Manifests, manifest.body.Digest)
		contents = append(contents, manifest.body.Digest)
		ops = append(ops, manifest.remove())
	}
	tags, err := list[Tag](ctx, r.engine, kindTag, r.below("tags", name))
	if err != nil {
		return deleted, nil, err
	}
	for _, tag := range tags {
		if err := tag.body.Attributes.deletable("tag", tag.body.Name); err != nil {
			return deleted, nil, err
		}
		deleted.Tags = append(deleted.Tags, tag.body.Name)
		ops = append(ops, tag.remove())
	}
	for _, rest := range []struct{ kind, collection string }{{kindBlob, "blobs"}, {kindUpload, "uploads"}, {kindReferrer, "referrers"}} {
		documents, err := list[struct{ Digest string }](ctx, r.engine, rest.kind, r.below(rest.collection, name))
		if err != nil {
			return deleted, nil, err
		}
		for _, document := range documents {
			ops = append(ops, document.remove())
			if rest.kind == kindBlob {
				contents = append(contents, document.body.Digest)
			}
		}
	}
	for _, collection := range []string{"manifests", "tags", "blobs", "uploads", "referrers"} {
		ops = append(ops, store.Vacant{Prefix: r.below(collection, name)})
	}
	if _, err := r.engine.apply(ctx, ops...); err != nil {
		return deleted, nil, err
	}
	for _, content := range contents {
		s.release(content)
	}
	return deleted, contents, nil
}

// repository reads a repository's document, which must be there.
func (r *Registry) repository(ctx context.Context, name string) (found[repositoryDocument], error) {
	if err := CheckRepositoryName(name); err != nil {
		return found[repositoryDocument]{}, err
	}
	document, err := get[repositoryDocument](ctx, r.engine, r.repositoryKey(name))
	if err == nil && !document.present() {
		err = unknownRepository(name)
	}
	return document, err
}

// writable reads a repository's document, which may be absent, and refuses when it may not be written to.
func (r *Registry) writable(ctx context.Context, name string) (found[repositoryDocument], error) {
	document, err := get[repositoryDocument](ctx, r.engine, r.repositoryKey(name))
	if err == nil && document.present() && !document.body.Attributes.WriteEnabled {
		err = locked("repository", name, "writeEnabled")
	}
	return document, err
}

// readable is writable for reading.
func (r *Registry) readable(ctx context.Context, name string) (found[repositoryDocument], error) {
	document, err := get[repositoryDocument](ctx, r.engine, r.repositoryKey(name))
	if err == nil && document.present() && !document.body.Attributes.ReadEnabled {
		err = locked("repository", name, "readEnabled")
	}
	return document, err
}

// deletable is writable for deleting it or anything in it.
func (r *Registry) deletable(ctx context.Context, name string) (found[repositoryDocument], error) {
	document, err := get[repositoryDocument](ctx, r.engine, r.repositoryKey(name))
	if err == nil && document.present() {
		err = document.body.Attributes.deletable("repository", name)
	}
	return document, err
}

func (a Attributes) deletable(what, name string) error {
	switch {
	case !a.DeleteEnabled:
		return locked(what, name, "deleteEnabled")
	case !a.WriteEnabled:
		return locked(what, name, "writeEnabled")
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
