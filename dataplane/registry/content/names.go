package content

import (
	"regexp"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// MaxName is the longest name of a repository, in characters.
const MaxName = 255

// The grammars of the OCI distribution specification 1.1.
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	sha256Digest   = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)
	anyDigest      = regexp.MustCompile(`^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$`)
	uploadID       = regexp.MustCompile(`^[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$`)
	registryKey    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
)

// CheckRepositoryName refuses whatever is no repository name by the grammar of OCI. Error: Invalid, NAME_INVALID.
func CheckRepositoryName(name string) error {
	if len(name) > MaxName {
		return resource.Invalidf("NAME_INVALID", "the repository name has %d characters; at most %d are allowed.", len(name), MaxName)
	}
	if !repositoryName.MatchString(name) {
		return resource.Invalidf("NAME_INVALID",
			"%q is no repository name; it consists of lower-case letters and digits, separated by '.', '_', '__' or '-', in parts separated by '/'.", name)
	}
	return nil
}

// CheckTag refuses whatever is no tag. Error: Invalid, TAG_INVALID.
func CheckTag(tag string) error {
	if !tagName.MatchString(tag) {
		return resource.Invalidf("TAG_INVALID",
			"%q is no tag; it has 1 to 128 letters, digits, '_', '.' or '-', and begins with a letter, a digit or '_'.", tag)
	}
	return nil
}

// CheckDigest refuses whatever is no SHA-256 digest. Error: Invalid, DIGEST_INVALID; other algorithms, which are known and
// not offered, give Unsupported, DIGEST_INVALID.
func CheckDigest(digest string) error {
	switch {
	case sha256Digest.MatchString(digest):
		return nil
	case anyDigest.MatchString(digest) && !strings.HasPrefix(digest, "sha256:"):
		algorithm, _, _ := strings.Cut(digest, ":")
		return resource.Errorf(resource.Unsupported, "DIGEST_INVALID",
			"digests of the algorithm %q are not supported; use sha256.", algorithm)
	}
	return resource.Invalidf("DIGEST_INVALID", "%q is no digest; expected is sha256: and 64 lower-case hexadecimal digits.", digest)
}

// IsDigest tells whether a reference is meant as a digest: no tag has a colon.
func IsDigest(reference string) bool { return strings.Contains(reference, ":") }

func checkReference(reference string) error {
	if IsDigest(reference) {
		return CheckDigest(reference)
	}
	return CheckTag(reference)
}

func checkUploadID(id string) error {
	if !uploadID.MatchString(id) {
		return unknownUpload(id)
	}
	return nil
}
