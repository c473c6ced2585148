package disk

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/resource"
)

// record is what the index keeps about an object.
type record struct {
	Kind     blob.Kind         `json:"k"`
	ETag     string            `json:"e"`
	Created  time.Time         `json:"c"`
	Modified time.Time         `json:"m"`
	Headers  blob.Headers      `json:"h"`
	Metadata map[string]string `json:"x,omitempty"`
	Copied   *blob.Copied      `json:"o,omitempty"`
	Tier     string            `json:"t,omitempty"`
	Pieces   []piece           `json:"p,omitempty"`
}

// piece is a run of bytes in one file. An empty one has no file.
type piece struct {
	File  string    `json:"f,omitempty"`
	Size  int64     `json:"n"`
	Block string    `json:"b,omitempty"`
	At    time.Time `json:"a,omitzero"` // when it was staged
}

func objectKey(container, name string) string { return "o" + container + "\x00" + name }

func stagedPrefix(container, name string) string { return "s" + container + "\x00" + name + "\x00" }

func checkName(container, name string) error {
	if container == "" || name == "" || strings.ContainsRune(container+name, 0) {
		return resource.Invalidf("InvalidUri", "the blob name %q is empty or holds a NUL character", name)
	}
	return nil
}

func notFound() error {
	return resource.NotFoundf("BlobNotFound", "The specified blob does not exist.")
}

// load reads a record; nil when there is none.
func (s *Store) load(container, name string) (*record, error) {
	if err := checkName(container, name); err != nil {
		return nil, err
	}
	value, err := s.get(objectKey(container, name))
	if err != nil || value == nil {
		return nil, err
	}
	return decode(value)
}

func decode(value []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("an index record is damaged: %w", err)
	}
	return &r, nil
}

func (r *record) object(name string) blob.Object {
	o := blob.Object{Name: name, Kind: r.Kind, ETag: r.ETag, Created: r.Created, Modified: r.Modified,
		Headers: r.Headers, Metadata: r.Metadata, Copied: r.Copied, Tier: r.Tier}
	for _, p := range r.Pieces {
		o.Size += p.Size
		o.Blocks = append(o.Blocks, blob.Block{ID: p.Block, Size: p.Size})
	}
	return o
}

// current gives what Decide is shown.
func (r *record) current(name string) *blob.Object {
	if r == nil {
		return nil
	}
	o := r.object(name)
	return &o
}

// next makes the record that follows out of what was decided.
func (s *Store) next(o blob.Object, before *record, pieces []piece) *record {
	now := s.options.Clock().UTC()
	r := &record{Kind: o.Kind, ETag: newETag(), Created: now, Modified: now, Headers: o.Headers, Metadata: o.Metadata,
		Copied: o.Copied, Tier: o.Tier, Pieces: pieces}
	if before != nil {
		r.Created = before.Created
	}
	return r
}

// newETag gives a version's name, never the same twice.
func newETag() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return "0x" + strings.ToUpper(hex.EncodeToString(b[:]))
}
