package content

import (
	"context"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// DescribeTag tells about a tag, whether it may be pulled or not. Errors: NAME_INVALID, TAG_INVALID; NotFound, TAG_UNKNOWN.
func (r *Registry) DescribeTag(ctx context.Context, repo, tag string) (Tag, error) {
	document, err := r.tag(ctx, repo, tag)
	return document.body, err
}

func (r *Registry) tag(ctx context.Context, repo, tag string) (found[Tag], error) {
	if err := CheckRepositoryName(repo); err != nil {
		return found[Tag]{}, err
	}
	if err := CheckTag(tag); err != nil {
		return found[Tag]{}, err
	}
	document, err := get[Tag](ctx, r.engine, r.tagKey(repo, tag))
	if err == nil && !document.present() {
		err = resource.NotFoundf("TAG_UNKNOWN", "the repository %q has no tag %q.", repo, tag)
	}
	return document, err
}

// Tags lists the tags of a repository that have ListEnabled, in the page's order; only those of a manifest, when digest is
// not "". Errors: NAME_INVALID, DIGEST_INVALID, NAME_UNKNOWN.
func (r *Registry) Tags(ctx context.Context, repo, digest string, page Page) ([]Tag, error) {
	if digest != "" {
		if err := CheckDigest(digest); err != nil {
			return nil, err
		}
	}
	if _, err := r.repository(ctx, repo); err != nil {
		return nil, err
	}
	documents, err := list[Tag](ctx, r.engine, kindTag, r.below("tags", repo))
	if err != nil {
		return nil, err
	}
	var all []Tag
	for _, document := range documents {
		if document.body.Attributes.ListEnabled && (digest == "" || digest == document.body.Digest) {
			all = append(all, document.body)
		}
	}
	return cut(all, page, func(t Tag) (string, time.Time) { return t.Name, t.Updated }), nil
}

// SetTagAttributes changes what may be done with a tag. It holds from the moment of the answer on. Errors: as DescribeTag.
func (r *Registry) SetTagAttributes(ctx context.Context, repo, tag string, changes Changes) (Tag, error) {
	var changed Tag
	err := r.change(ctx, func(*space) error {
		document, err := r.tag(ctx, repo, tag)
		if err != nil {
			return err
		}
		document.body.Attributes, document.body.Updated = changes.apply(document.body.Attributes), r.engine.now()
		changed = document.body
		_, err = r.engine.apply(ctx, document.put(kindTag, document.body))
		return err
	})
	return changed, err
}

// DeleteTag removes a tag; its manifest stays, untagged when it has no other. Errors: as DescribeTag; DENIED when the
// repository or the tag is locked.
func (r *Registry) DeleteTag(ctx context.Context, repo, tag string) error {
	if err := CheckRepositoryName(repo); err != nil {
		return err
	}
	return r.change(ctx, func(s *space) error {
		parent, err := r.deletable(ctx, repo)
		if err != nil {
			return err
		}
		document, err := r.tag(ctx, repo, tag)
		if err != nil {
			return err
		}
		if err := document.body.Attributes.deletable("tag", tag); err != nil {
			return err
		}
		ops, err := r.untag(ctx, s, repo, document.body)
		if err != nil {
			return err
		}
		_, err = r.engine.apply(ctx, append(ops, parent.expect(), document.remove())...)
		return err
	})
}
