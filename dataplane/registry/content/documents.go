package content

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/store"
)

// Kinds of documents, and their keys below prefix(registry key). Store keys are lower-case and ordered by their bytes:
// repositories are in them as they are, tags as hexadecimal digits, which keeps case and order. ':' is in no repository's
// name, so the documents of one never have the prefix of another one's.
const (
	kindRepository = "registry/repository" // repositories/NAME
	kindManifest   = "registry/manifest"   // manifests/NAME:DIGEST
	kindTag        = "registry/tag"        // tags/NAME:TAG
	kindBlob       = "registry/blob"       // blobs/NAME:DIGEST
	kindUpload     = "registry/upload"     // uploads/NAME:ID
	kindReferrer   = "registry/referrer"   // referrers/NAME:SUBJECT:DIGEST
)

func prefix(key string) string { return "/alvara/registry/" + key + "/" }

func encoded(digest string) string { return strings.TrimPrefix(digest, "sha256:") }

func (r *Registry) repositoryKey(name string) string { return prefix(r.key) + "repositories/" + name }

// below is the prefix of a repository's documents in a collection: manifests, tags, blobs, uploads or referrers.
func (r *Registry) below(collection, repo string) string {
	return prefix(r.key) + collection + "/" + repo + ":"
}

func (r *Registry) manifestKey(repo, digest string) string {
	return r.below("manifests", repo) + encoded(digest)
}

func (r *Registry) tagKey(repo, tag string) string {
	return r.below("tags", repo) + hex.EncodeToString([]byte(tag))
}

func (r *Registry) blobKey(repo, digest string) string {
	return r.below("blobs", repo) + encoded(digest)
}

func (r *Registry) uploadKey(repo, id string) string { return r.below("uploads", repo) + id }

func (r *Registry) referrerKey(repo, subject, digest string) string {
	return r.below("referrers", repo) + encoded(subject) + ":" + encoded(digest)
}

type repositoryDocument struct {
	Name       string     `json:"name"`
	Created    time.Time  `json:"created"`
	Updated    time.Time  `json:"updated"` // of the document; manifests and tags have their own times
	Attributes Attributes `json:"attributes"`
}

type manifestDocument struct {
	Manifest
	Repository  string            `json:"repository"`
	Blobs       []string          `json:"blobs,omitempty"`    // digests of config and layers, those held elsewhere left out
	Children    []string          `json:"children,omitempty"` // digests of manifests
	Annotations map[string]string `json:"annotations,omitempty"`
	Untagged    time.Time         `json:"untagged,omitzero"` // since when it has no tag; zero while it has one
}

type blobDocument struct {
	Repository string    `json:"repository"`
	Digest     string    `json:"digest"`
	Size       int64     `json:"size"`
	Since      time.Time `json:"since"`
}

type uploadDocument struct {
	ID      string    `json:"id"`
	Started time.Time `json:"started"`
}

// found is a document with its body read.
type found[T any] struct {
	key  string
	etag string // "" when there is none
	body T
}

// condition is the IfMatch that makes a change depend on the document being as it was found, absent included.
func (f found[T]) condition() string {
	if f.etag == "" {
		return store.None
	}
	return f.etag
}

func (f found[T]) present() bool { return f.etag != "" }

// expect makes a change depend on the document being as it was found.
func (f found[T]) expect() store.Op { return store.Expect{Key: f.key, IfMatch: f.condition()} }

// put writes a new body, when the document is as it was found.
func (f found[T]) put(kind string, body T) store.Op {
	return store.Put{Key: f.key, Kind: kind, Body: encode(body), IfMatch: f.condition()}
}

// remove deletes the document, when it is as it was found.
func (f found[T]) remove() store.Op { return store.Delete{Key: f.key, IfMatch: f.etag} }

// get reads a document; an absent one is no error.
func get[T any](ctx context.Context, e *Engine, key string) (found[T], error) {
	document, err := e.options.Store.Get(ctx, key)
	if absent(err) {
		return found[T]{key: key}, nil
	}
	if err != nil {
		return found[T]{}, err
	}
	return decode[T](document)
}

func list[T any](ctx context.Context, e *Engine, kind, prefix string) ([]found[T], error) {
	documents, err := e.options.Store.List(ctx, store.Query{Kind: kind, Prefix: prefix})
	if err != nil {
		return nil, err
	}
	all := make([]found[T], len(documents))
	for i, document := range documents {
		if all[i], err = decode[T](document); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func decode[T any](document store.Document) (found[T], error) {
	f := found[T]{key: document.Key, etag: document.ETag}
	if err := json.Unmarshal(document.Body, &f.body); err != nil {
		return f, fmt.Errorf("registry content: document %s: %w", document.Key, err)
	}
	return f, nil
}

// encode writes a body. The types above have nothing that JSON lacks.
func encode(body any) []byte {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return text
}
