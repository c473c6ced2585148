package content

import (
	"context"
	"errors"
	"io"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// StatBlob tells about a blob of a repository, and keeps it from collection for another grace time: who asks is likely to
// push a manifest that names it. Errors: NAME_INVALID, DIGEST_INVALID, BLOB_UNKNOWN, DENIED while reading is locked.
func (r *Registry) StatBlob(ctx context.Context, repo, digest string) (Blob, error) {
	if err := checkBlob(repo, digest); err != nil {
		return Blob{}, err
	}
	var blob Blob
	err := r.change(ctx, func(s *space) error {
		document, err := r.readableBlob(ctx, repo, digest)
		if err != nil {
			return err
		}
		s.touch(r.engine.now(), document.key)
		blob = Blob{Digest: digest, Size: document.body.Size}
		return nil
	})
	return blob, err
}

// OpenBlob opens a blob of a repository; the caller closes it. It is an *os.File when bytes are on disk. One that is
// open stays readable when the blob goes. Errors as StatBlob.
func (r *Registry) OpenBlob(ctx context.Context, repo, digest string) (Blob, io.ReadSeekCloser, error) {
	if err := checkBlob(repo, digest); err != nil {
		return Blob{}, nil, err
	}
	s, err := r.enter(ctx)
	if err != nil {
		return Blob{}, nil, err
	}
	document, err := r.readableBlob(ctx, repo, digest)
	if err != nil {
		return Blob{}, nil, err
	}
	content, err := s.bytes.open(ctx, digest)
	if errors.Is(err, errNoBytes) { // gone between the two, or lost
		if _, err := r.readableBlob(ctx, repo, digest); err != nil {
			return Blob{}, nil, err
		}
	}
	if err != nil {
		return Blob{}, nil, err
	}
	return Blob{Digest: digest, Size: document.body.Size}, content, nil
}

func (r *Registry) readableBlob(ctx context.Context, repo, digest string) (found[blobDocument], error) {
	document, err := get[blobDocument](ctx, r.engine, r.blobKey(repo, digest))
	if err != nil {
		return document, err
	}
	if !document.present() {
		return document, unknownBlob(repo, digest)
	}
	_, err = r.readable(ctx, repo)
	return document, err
}

// MountBlob makes a blob of one repository a blob of another one as well. Errors: as StatBlob, for `from`; DENIED when
// `repo` is locked against writing.
func (r *Registry) MountBlob(ctx context.Context, repo, from, digest string) (Blob, error) {
	if err := CheckRepositoryName(from); err != nil {
		return Blob{}, err
	}
	if err := checkBlob(repo, digest); err != nil {
		return Blob{}, err
	}
	var blob Blob
	err := r.change(ctx, func(s *space) error {
		parent, err := r.writable(ctx, repo)
		if err != nil {
			return err
		}
		source, err := r.readableBlob(ctx, from, digest)
		if err != nil {
			return err
		}
		blob = Blob{Digest: digest, Size: source.body.Size}
		s.touch(r.engine.now(), source.key)
		return r.link(ctx, s, repo, blob, "", parent.expect(), source.expect())
	})
	return blob, err
}

// link makes a content that is there a blob of a repository, together with other ops; upload names what it came in as, ""
// for nothing. The caller is in the gate.
func (r *Registry) link(ctx context.Context, s *space, repo string, blob Blob, upload string, ops ...store.Op) error {
	now := r.engine.now()
	document, err := get[blobDocument](ctx, r.engine, r.blobKey(repo, blob.Digest))
	if err != nil {
		return err
	}
	s.touch(now, document.key)
	if document.present() {
		_, err := r.engine.apply(ctx, append(ops, document.expect())...)
		return err
	}
	if err := s.hold(blob.Digest, blob.Size, r.limits.Quota, upload); err != nil {
		return err
	}
	put := document.put(kindBlob, blobDocument{Repository: repo, Digest: blob.Digest, Size: blob.Size, Since: now})
	if _, err := r.engine.apply(ctx, append(ops, put)...); err != nil {
		s.release(blob.Digest)
		return err
	}
	return nil
}

// DeleteBlob removes a blob from a repository. One that a manifest names stays. Errors: as StatBlob; DENIED when the
// repository is locked; MethodNotAllowed, UNSUPPORTED while a manifest names the blob.
func (r *Registry) DeleteBlob(ctx context.Context, repo, digest string) error {
	if err := checkBlob(repo, digest); err != nil {
		return err
	}
	return r.alone(ctx, func(s *space) error {
		parent, err := r.deletable(ctx, repo)
		if err != nil {
			return err
		}
		document, err := get[blobDocument](ctx, r.engine, r.blobKey(repo, digest))
		if err != nil {
			return err
		}
		if !document.present() {
			return unknownBlob(repo, digest)
		}
		manifests, err := list[manifestDocument](ctx, r.engine, kindManifest, r.below("manifests", repo))
		if err != nil {
			return err
		}
		for _, manifest := range manifests {
			for _, named := range manifest.body.Blobs {
				if named == digest {
					return resource.Errorf(resource.MethodNotAllowed, "UNSUPPORTED",
						"the manifest %s needs the blob %s; delete the manifest first.", manifest.body.Digest, digest)
				}
			}
		}
		if _, err := r.engine.apply(ctx, parent.expect(), document.remove()); err != nil {
			return err
		}
		s.release(digest)
		return r.removeUnheld(ctx, s, digest)
	})
}

// removeUnheld removes the bytes of a content that no document names. The caller has the gate alone.
func (r *Registry) removeUnheld(ctx context.Context, s *space, digest string) error {
	s.mu.Lock()
	stale := s.stale
	s.mu.Unlock()
	if stale {
		if err := r.count(ctx, s); err != nil {
			return err
		}
	}
	if s.holds(digest) {
		return nil
	}
	return s.bytes.remove(context.WithoutCancel(ctx), digest)
}

func checkBlob(repo, digest string) error {
	if err := CheckRepositoryName(repo); err != nil {
		return err
	}
	return CheckDigest(digest)
}

// Usage is how many bytes the registry holds: blobs and manifests, each content once.
func (r *Registry) Usage(ctx context.Context) (int64, error) {
	s, err := r.enter(ctx)
	if err != nil {
		return 0, err
	}
	return s.usage(), nil
}
