package content

import (
	"encoding/json"
	"mime"
	"slices"

	"github.com/alvara-ml/alvara/resource"
)

// MaxManifest is the largest manifest in bytes; the OCI specification asks registries to take at least as much.
const MaxManifest = 4 << 20

// The media types of manifests.
const (
	MediaTypeImage       = "application/vnd.oci.image.manifest.v1+json"
	MediaTypeIndex       = "application/vnd.oci.image.index.v1+json"
	MediaTypeDockerImage = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerList  = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// Layers of these types are fetched from elsewhere; registries need not hold them.
var foreignLayers = []string{
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.foreign.diff.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
}

// described is a descriptor as manifests have it.
type described struct {
	MediaType    string   `json:"mediaType"`
	Digest       string   `json:"digest"`
	Size         *int64   `json:"size"`
	ArtifactType string   `json:"artifactType"`
	URLs         []string `json:"urls"`
	Platform     *struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	} `json:"platform"`
}

// parsed is a manifest of any supported type. Pointers tell an absent field from an empty one.
type parsed struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *described        `json:"config"`
	Layers        *[]described      `json:"layers"`
	Manifests     *[]described      `json:"manifests"`
	Subject       *described        `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

func badManifest(format string, args ...any) error {
	return resource.Invalidf("MANIFEST_INVALID", format, args...)
}

// parseManifest reads a manifest and checks all that its bytes alone tell. mediaType is the Content-Type it came with, "" when
// it came without.
func parseManifest(mediaType string, body []byte) (parsed, error) {
	var m parsed
	if len(body) > MaxManifest {
		return m, resource.Errorf(resource.TooLarge, "MANIFEST_INVALID", "the manifest has %d bytes; at most %d are allowed.", len(body), MaxManifest)
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, badManifest("the manifest is not the JSON object that is expected: %v.", err)
	}
	declared := mediaType
	if mediaType != "" {
		var err error
		if declared, _, err = mime.ParseMediaType(mediaType); err != nil {
			return m, badManifest("%q is no media type: %v.", mediaType, err)
		}
	}
	switch {
	case declared == "":
		declared = m.MediaType
	case m.MediaType != "" && m.MediaType != declared:
		return m, badManifest("the manifest's mediaType is %q, and it was sent as %q; both must be the same.", m.MediaType, declared)
	}
	m.MediaType = declared
	if m.SchemaVersion != 2 {
		return m, badManifest("schemaVersion is %d; it must be 2.", m.SchemaVersion)
	}
	var err error
	switch declared {
	case MediaTypeImage, MediaTypeDockerImage:
		err = m.checkImage()
	case MediaTypeIndex, MediaTypeDockerList:
		err = m.checkIndex()
	default:
		err = badManifest("manifests of the media type %q are not supported; supported are %s, %s, %s and %s.",
			declared, MediaTypeImage, MediaTypeIndex, MediaTypeDockerImage, MediaTypeDockerList)
	}
	if err != nil || m.Subject == nil {
		return m, err
	}
	return m, m.Subject.check("subject")
}

func (m *parsed) checkImage() error {
	if m.Manifests != nil {
		return badManifest("an image manifest has no \"manifests\"; what has both can be read in two ways.")
	}
	if m.Config == nil {
		return badManifest("\"config\" is missing.")
	}
	if m.Layers == nil {
		return badManifest("\"layers\" is missing.")
	}
	if err := m.Config.check("config"); err != nil {
		return err
	}
	for _, layer := range *m.Layers {
		if err := layer.check("layers"); err != nil {
			return err
		}
	}
	return nil
}

func (m *parsed) checkIndex() error {
	if m.Config != nil || m.Layers != nil {
		return badManifest("an index has no \"config\" and no \"layers\"; what has both can be read in two ways.")
	}
	if m.Manifests == nil {
		return badManifest("\"manifests\" is missing.")
	}
	for _, child := range *m.Manifests {
		if err := child.check("manifests"); err != nil {
			return err
		}
	}
	return nil
}

func (d *described) check(field string) error {
	if err := CheckDigest(d.Digest); err != nil {
		e, _ := resource.AsError(err)
		return resource.Errorf(e.Kind, "MANIFEST_INVALID", "a descriptor in %q: %s", field, e.Message)
	}
	if d.MediaType == "" {
		return badManifest("the descriptor of %s in %q has no mediaType.", d.Digest, field)
	}
	if d.Size == nil || *d.Size < 0 {
		return badManifest("the descriptor of %s in %q has no size.", d.Digest, field)
	}
	return nil
}

// elsewhere tells whether a layer need not be in the repository.
func (d *described) elsewhere() bool {
	return len(d.URLs) > 0 && slices.Contains(foreignLayers, d.MediaType)
}

// needed lists the blobs that must be in the repository: config and layers, and what an index names that is no manifest,
// as BuildKit's caches do.
func (m *parsed) needed() []described {
	var needed []described
	if m.Config != nil {
		needed = append(needed, *m.Config)
	}
	if m.Layers != nil {
		needed = append(needed, *m.Layers...)
	}
	if m.Manifests != nil {
		for _, d := range *m.Manifests {
			if !d.isManifest() {
				needed = append(needed, d)
			}
		}
	}
	needed = slices.DeleteFunc(needed, func(d described) bool { return d.elsewhere() })
	return distinct(needed)
}

// children lists the manifests of an index.
func (m *parsed) children() []described {
	if m.Manifests == nil {
		return nil
	}
	var children []described
	for _, d := range *m.Manifests {
		if d.isManifest() {
			children = append(children, d)
		}
	}
	return distinct(children)
}

func (d *described) isManifest() bool {
	return slices.Contains([]string{MediaTypeImage, MediaTypeIndex, MediaTypeDockerImage, MediaTypeDockerList}, d.MediaType)
}

func distinct(all []described) []described {
	seen := map[string]bool{}
	var kept []described
	for _, d := range all {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			kept = append(kept, d)
		}
	}
	return kept
}

// artifactType is what referrers are filtered by: its own, or else the config's media type.
func (m *parsed) artifactType() string {
	if m.ArtifactType == "" && m.Config != nil {
		return m.Config.MediaType
	}
	return m.ArtifactType
}
