package registry

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

// what names the kind of thing that a URL points at.
type what string

const (
	atRoot       what = "root"      // /v2/
	atCatalog    what = "catalog"   // /v2/_catalog
	atTags       what = "tags"      // /v2/{name}/tags/list
	atManifest   what = "manifest"  // /v2/{name}/manifests/{tag or digest}
	atBlob       what = "blob"      // /v2/{name}/blobs/{digest}
	atUploads    what = "uploads"   // /v2/{name}/blobs/uploads/
	atUpload     what = "upload"    // /v2/{name}/blobs/uploads/{id}
	atReferrers  what = "referrers" // /v2/{name}/referrers/{digest}
	atExchange   what = "exchange"  // /oauth2/exchange
	atToken      what = "token"     // /oauth2/token
	acrCatalog   what = "acr catalog"
	acrRepo      what = "acr repository"
	acrTags      what = "acr tags"
	acrTag       what = "acr tag"
	acrManifests what = "acr manifests"
	acrManifest  what = "acr manifest"
)

// address is a parsed path. Every field is of the form that its name promises: nothing that comes later checks it again.
type address struct {
	what       what
	repository string
	reference  string // a tag or a digest of a manifest
	digest     string // of a blob, of a manifest that is addressed by digest, or of a subject
	tag        string
	upload     string // as it was sent; the content engine knows which ones are
}

const maxPath = 2048 // characters

// parsePath reads the path of a URL. Escapes count as the characters that they stand for, so team%2Fapp is team/app, as
// clients write it; what is then no name is refused. Errors: NotFound for a path that is none of the protocol's and for a
// tag that cannot exist, Invalid for a malformed name or digest.
func parsePath(method string, u *url.URL) (address, error) {
	path := u.Path
	if len(path) > maxPath {
		return address{}, resource.Invalidf(codeNameInvalid, "the path has %d characters; at most %d are allowed", len(path), maxPath)
	}
	if rest, ok := strings.CutPrefix(path, "/v2/"); ok {
		return parseDistribution(method, rest)
	}
	if rest, ok := strings.CutPrefix(path, "/acr/v1/"); ok {
		return parseACR(method, rest)
	}
	switch strings.TrimSuffix(path, "/") {
	case "/v2":
		return address{what: atRoot}, nil
	case "/oauth2/exchange":
		return address{what: atExchange}, nil
	case "/oauth2/token":
		return address{what: atToken}, nil
	}
	return address{}, errNoPath(path)
}

// parseDistribution reads what follows /v2/. The words that tell the kinds apart stand at the end: a repository's name may
// have them too, as in tags/list/tags/list.
func parseDistribution(method, rest string) (address, error) {
	switch rest {
	case "":
		return address{what: atRoot}, nil
	case "_catalog":
		return address{what: atCatalog}, nil
	}
	if name, ok := strings.CutSuffix(rest, "/blobs/uploads/"); ok {
		return named(address{what: atUploads}, name)
	}
	if name, ok := strings.CutSuffix(rest, "/blobs/uploads"); ok {
		return named(address{what: atUploads}, name)
	}
	head, last, ok := cutLast(rest)
	if !ok {
		return address{}, errNoPath("/v2/" + rest)
	}
	if name, ok := strings.CutSuffix(head, "/blobs/uploads"); ok {
		return named(address{what: atUpload, upload: last}, name)
	}
	name, word, ok := cutLast(head)
	if !ok {
		return address{}, errNoPath("/v2/" + rest)
	}
	switch {
	case word == "tags" && last == "list":
		return named(address{what: atTags}, name)
	case word == "manifests" && content.IsDigest(last):
		return withDigest(address{what: atManifest}, name, last)
	case word == "manifests":
		return withTag(address{what: atManifest}, name, last, method)
	case word == "blobs":
		return withDigest(address{what: atBlob}, name, last)
	case word == "referrers":
		return withDigest(address{what: atReferrers}, name, last)
	}
	return address{}, errNoPath("/v2/" + rest)
}

// parseACR reads what follows /acr/v1/. No component of a repository's name starts with an underscore.
func parseACR(method, rest string) (address, error) {
	if rest == "_catalog" {
		return address{what: acrCatalog}, nil
	}
	if name, ok := strings.CutSuffix(rest, "/_tags"); ok {
		return named(address{what: acrTags}, name)
	}
	if name, ok := strings.CutSuffix(rest, "/_manifests"); ok {
		return named(address{what: acrManifests}, name)
	}
	if name, tag, ok := strings.Cut(rest, "/_tags/"); ok {
		return withTag(address{what: acrTag}, name, tag, method)
	}
	if name, digest, ok := strings.Cut(rest, "/_manifests/"); ok {
		return withDigest(address{what: acrManifest}, name, digest)
	}
	return named(address{what: acrRepo}, rest)
}

func cutLast(path string) (before, last string, ok bool) {
	at := strings.LastIndexByte(path, '/')
	if at < 0 {
		return "", "", false
	}
	return path[:at], path[at+1:], true
}

func named(a address, name string) (address, error) {
	if err := content.CheckRepositoryName(name); err != nil {
		return address{}, err
	}
	a.repository = name
	return a, nil
}

func withDigest(a address, name, digest string) (address, error) {
	if err := content.CheckDigest(digest); err != nil {
		return address{}, err
	}
	a.digest, a.reference = digest, digest
	return named(a, name)
}

func withTag(a address, name, tag, method string) (address, error) {
	if err := content.CheckTag(tag); err != nil {
		if method == http.MethodPut || method == http.MethodPatch {
			return address{}, err
		}
		return address{}, resource.NotFoundf(codeManifestUnknown, "the repository %.300q has no manifest %.150q: that is no tag", name, tag)
	}
	a.tag, a.reference = tag, tag
	return named(a, name)
}
