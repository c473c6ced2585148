package content

import "time"

// Limits are what a registry may hold.
type Limits struct {
	Quota int64 // bytes, each distinct content counted once; 0 for none
}

// Attributes say what may be done with a repository, manifest or tag. They are locks, not access control: they hold for
// everybody until they are changed back. Deleting needs DeleteEnabled and WriteEnabled.
type Attributes struct {
	DeleteEnabled bool `json:"deleteEnabled"`
	WriteEnabled  bool `json:"writeEnabled"` // may be pushed to, or overwritten
	ReadEnabled   bool `json:"readEnabled"`  // may be pulled
	ListEnabled   bool `json:"listEnabled"`  // is in lists
}

// unlocked is what new things have.
var unlocked = Attributes{DeleteEnabled: true, WriteEnabled: true, ReadEnabled: true, ListEnabled: true}

// Changes are changes of attributes; nil leaves one as it is.
type Changes struct {
	DeleteEnabled *bool `json:"deleteEnabled,omitempty"`
	WriteEnabled  *bool `json:"writeEnabled,omitempty"`
	ReadEnabled   *bool `json:"readEnabled,omitempty"`
	ListEnabled   *bool `json:"listEnabled,omitempty"`
}

func (c Changes) apply(to Attributes) Attributes {
	for _, change := range []struct {
		wanted *bool
		field  *bool
	}{
		{c.DeleteEnabled, &to.DeleteEnabled}, {c.WriteEnabled, &to.WriteEnabled},
		{c.ReadEnabled, &to.ReadEnabled}, {c.ListEnabled, &to.ListEnabled},
	} {
		if change.wanted != nil {
			*change.field = *change.wanted
		}
	}
	return to
}

// Repository is what is known about a repository.
type Repository struct {
	Name       string
	Created    time.Time
	Updated    time.Time // the latest change of a manifest, a tag or the attributes
	Manifests  int
	Tags       int
	Size       int64 // bytes of its manifests and blobs, each content once
	Attributes Attributes
}

// Blob names content of a repository.
type Blob struct {
	Digest string // sha256:…
	Size   int64
}

// Upload is a blob on its way in.
type Upload struct {
	ID      string
	Offset  int64 // bytes received; the next chunk begins here
	Started time.Time
}

// Platform is a child of an index, and what it runs on.
type Platform struct {
	Digest       string `json:"digest"`
	Architecture string `json:"architecture,omitempty"`
	OS           string `json:"os,omitempty"`
}

// Manifest is what is known about a manifest; its bytes are apart.
type Manifest struct {
	Digest          string     `json:"digest"`
	MediaType       string     `json:"mediaType"`
	ArtifactType    string     `json:"artifactType,omitempty"` // its own, or else its config's media type
	ConfigMediaType string     `json:"configMediaType,omitempty"`
	Size            int64      `json:"size"`      // bytes of the manifest
	ImageSize       int64      `json:"imageSize"` // bytes of the manifest, its config and its layers
	Architecture    string     `json:"architecture,omitempty"`
	OS              string     `json:"os,omitempty"`
	Platforms       []Platform `json:"platforms,omitempty"` // of an index
	Subject         string     `json:"subject,omitempty"`   // the digest that it refers to
	Created         time.Time  `json:"created"`
	Updated         time.Time  `json:"updated"`
	Tags            []string   `json:"tags,omitempty"` // sorted
	Attributes      Attributes `json:"attributes"`
}

// Tag is a name for a manifest.
type Tag struct {
	Name       string     `json:"name"`
	Digest     string     `json:"digest"`
	Created    time.Time  `json:"created"`
	Updated    time.Time  `json:"updated"`
	Attributes Attributes `json:"attributes"`
}

// Pushed is the outcome of PutManifest.
type Pushed struct {
	Digest  string
	Subject string // the digest that the manifest refers to, "" for none
}

// Descriptor is an OCI descriptor, as the list of referrers has it.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// Order is how a list is sorted.
type Order uint8

// The orders: by name (or digest), or by the time of the last change.
const (
	ByName Order = iota
	OldestFirst
	NewestFirst
)

// Page selects a part of a list.
type Page struct {
	After string // the last tag or digest of the page before; "" for the first page
	Limit int    // at most so many; 0 for all
	Order Order
}

// Deleted names what went with a repository.
type Deleted struct {
	Manifests []string // digests
	Tags      []string
}

// CollectOptions say what garbage is.
type CollectOptions struct {
	Grace     time.Duration // blobs that no manifest names, and uploads, go when nobody touched them for so long
	Retention time.Duration // untagged manifests older than this go; 0 keeps them
	DryRun    bool          // only report
}

// Report is what a collection removed, or would remove.
type Report struct {
	Manifests int
	Blobs     int // places of a blob in a repository
	Uploads   int
	Bytes     int64 // what usage falls by
}
