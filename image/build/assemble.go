package build

import (
	"bytes"
	"encoding/json"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/alvara-ml/alvara/image/layer"
)

// archived is a layer whose compressed archive is a file.
type archived struct {
	made layer.Made
	file string
	kind types.MediaType
}

func (a archived) Digest() (v1.Hash, error)             { return v1.NewHash(a.made.Digest) }
func (a archived) DiffID() (v1.Hash, error)             { return v1.NewHash(a.made.DiffID) }
func (a archived) Compressed() (io.ReadCloser, error)   { return os.Open(a.file) }
func (a archived) Size() (int64, error)                 { return a.made.Size, nil }
func (a archived) MediaType() (types.MediaType, error)  { return a.kind, nil }
func (a archived) Uncompressed() (io.ReadCloser, error) { return uncompressed(a) }

func uncompressed(a archived) (io.ReadCloser, error) {
	l, err := partial.CompressedToLayer(compressedOnly{a})
	if err != nil {
		return nil, err
	}
	return l.Uncompressed()
}

// compressedOnly hides that the layer can be had uncompressed, so that the library does it.
type compressedOnly struct{ a archived }

func (c compressedOnly) Digest() (v1.Hash, error)            { return c.a.Digest() }
func (c compressedOnly) Compressed() (io.ReadCloser, error)  { return c.a.Compressed() }
func (c compressedOnly) Size() (int64, error)                { return c.a.Size() }
func (c compressedOnly) MediaType() (types.MediaType, error) { return c.a.MediaType() }

// picture is an image whose manifest and configuration are fixed bytes.
type picture struct {
	manifest, config []byte
	kind             types.MediaType
	layers           map[v1.Hash]v1.Layer
}

func (p *picture) RawManifest() ([]byte, error)        { return p.manifest, nil }
func (p *picture) RawConfigFile() ([]byte, error)      { return p.config, nil }
func (p *picture) MediaType() (types.MediaType, error) { return p.kind, nil }
func (p *picture) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	return p.layers[h], nil
}

// image puts together what a registry gets.
type finished struct {
	v1.Image
	layers []v1.Layer
}

// Layers gives the layers as they came, so that those of another repository can be mounted.
func (f finished) Layers() ([]v1.Layer, error) { return f.layers, nil }

// assemble makes the image of a stage. The same stage gives the same bytes.
func assemble(s *state) (v1.Image, error) {
	manifestKind, configKind := types.DockerManifestSchema2, types.DockerConfigJSON
	if s.oci {
		manifestKind, configKind = types.OCIManifestSchema1, types.OCIConfigJSON
	}
	config, err := json.Marshal(s.config)
	if err != nil {
		return nil, err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(config))
	if err != nil {
		return nil, err
	}
	p := &picture{config: config, kind: manifestKind, layers: map[v1.Hash]v1.Layer{}}
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: manifestKind, Config: v1.Descriptor{MediaType: configKind, Size: size, Digest: digest}, Layers: []v1.Descriptor{}}
	var layers []v1.Layer
	for _, b := range s.layers {
		descriptor, err := partial.Descriptor(b.layer)
		if err != nil {
			return nil, err
		}
		manifest.Layers = append(manifest.Layers, v1.Descriptor{MediaType: descriptor.MediaType, Size: descriptor.Size, Digest: descriptor.Digest, URLs: descriptor.URLs})
		p.layers[descriptor.Digest] = b.layer
		layers = append(layers, b.layer)
	}
	if p.manifest, err = json.Marshal(manifest); err != nil {
		return nil, err
	}
	image, err := partial.CompressedToImage(p)
	return finished{Image: image, layers: layers}, err
}
