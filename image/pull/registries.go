// Package pull speaks to registries as somebody: it fetches base images, gives their layers unpacked, and pushes what was
// built. It owns which credential goes to which host, and the proof that a layer may be used: nobody gets a layer
// that lies unpacked here unless the registry that is asked serves it to this very identity.
package pull

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/resource"
)

// Credential is as whom one host is spoken to; the zero one is nobody.
type Credential struct {
	Identity  string // client id of a managed identity, or System
	Principal string // its object id, for messages
	Username  string // with Password, instead of an identity
	Password  string
}

// System is the identity that a run gets without naming one.
const System = "system"

// Registries are those that one build speaks to. All methods may be called concurrently.
type Registries struct {
	Transport   http.RoundTripper // trusts the authorities that it should; nil is http.DefaultTransport
	Credentials map[string]Credential
	// Own hosts check what an identity may read and hold no layer under a digest that is not its own; tokens of identities
	// go to them and to Trusted ones alone.
	Own, Trusted []string
	// Scopes are the resource ids of Own hosts, as far as they are known, and Who is who asks, "the build" when empty: for messages.
	Scopes map[string]resource.ID
	Who    string
	// Token gives an identity's access token for the registries' audience.
	Token func(ctx context.Context, identity string) (string, error)
	Store *layer.Store
	// Proofs is a folder with what hosts have served; it is made when absent.
	Proofs   string
	Platform v1.Platform
}

// Image is an image as a registry has it.
type Image struct {
	v1.Image
	Reference string // with host, and tag or digest
	Digest    string // what the registry has under the reference
	Config    *v1.ConfigFile
	Layers    []v1.Layer // the lowest first

	from name.Repository
	all  *Registries
}

func (r *Registries) own(host string) bool { return slices.Contains(r.Own, host) }

// options are those of one host.
func (r *Registries) options(ctx context.Context, registry name.Registry) ([]remote.Option, error) {
	options := []remote.Option{remote.WithContext(ctx), remote.WithPlatform(r.Platform), remote.WithUserAgent("alvara"), remote.WithJobs(4)}
	account, err := r.account(registry)
	if err != nil {
		return nil, err
	}
	if account == nil {
		return append(options, remote.WithTransport(r.transport())), nil
	}
	return append(options, remote.WithTransport(account.http), remote.WithAuth(account.auth)), nil
}

func (r *Registries) transport() http.RoundTripper {
	if r.Transport == nil {
		return http.DefaultTransport
	}
	return r.Transport
}

// Resolve finds an image of this machine's platform by its reference, as a Dockerfile writes it.
func (r *Registries) Resolve(ctx context.Context, reference string) (*Image, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return nil, resource.Invalidf("InvalidReference", "The image %q is no reference; write [host/]repository[:tag][@digest].", reference)
	}
	options, err := r.options(ctx, ref.Context().Registry)
	if err != nil {
		return nil, err
	}
	descriptor, err := remote.Get(ref, options...)
	if err != nil {
		return nil, r.explain(ctx, err, ref, pulling)
	}
	image, err := descriptor.Image()
	if err != nil {
		if strings.Contains(err.Error(), "no child with platform") {
			return nil, resource.Errorf(resource.Unsupported, "UnsupportedPlatform", "The image %s is not made for %s, which this machine is.", ref.Name(), r.Platform)
		}
		return nil, r.explain(ctx, err, ref, pulling)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, r.explain(ctx, err, ref, pulling)
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, r.explain(ctx, err, ref, pulling)
	}
	if len(layers) != len(config.RootFS.DiffIDs) {
		return nil, resource.Invalidf("InvalidImage", "The image %s has %d layers and its configuration speaks of %d.", ref.Name(), len(layers), len(config.RootFS.DiffIDs))
	}
	if config.OS != "" && config.OS != "linux" || config.Architecture != "" && config.Architecture != r.Platform.Architecture {
		return nil, resource.Errorf(resource.Unsupported, "UnsupportedPlatform", "The image %s is made for %s/%s; this machine is %s.", ref.Name(), config.OS, config.Architecture, r.Platform)
	}
	return &Image{Image: image, Reference: ref.Name(), Digest: descriptor.Digest.String(), Config: config, Layers: layers, from: ref.Context(), all: r}, nil
}

// Hold gives the image's layer i unpacked. What lies here already is used only when the image's registry serves the layer to
// this credential, and has once served its bytes (an own registry: any of them); otherwise it is fetched, even if only
// to see that the registry has it.
func (i *Image) Hold(ctx context.Context, at int) (*layer.Held, error) {
	l := i.Layers[at]
	digest, err := l.Digest()
	if err != nil {
		return nil, err
	}
	diffID := i.Config.RootFS.DiffIDs[at].String()
	r, host := i.all, i.from.RegistryStr()
	if r.proven(host, digest.String(), diffID) && r.Store.Has(diffID) {
		exists, err := partial.Exists(l)
		if err != nil {
			return nil, r.explain(ctx, err, i.from.Digest(digest.String()), pulling)
		}
		if exists {
			return r.Store.Get(ctx, diffID, func() (io.ReadCloser, error) { return l.Uncompressed() })
		}
		return nil, resource.NotFoundf("LayerNotFound", "The registry %s does not serve the layer %s of %s.", host, digest, i.Reference)
	}
	fetched := false
	held, err := r.Store.Get(ctx, diffID, func() (io.ReadCloser, error) {
		fetched = true
		return l.Uncompressed()
	})
	if err == nil && !fetched {
		err = fetchAndCompare(l, diffID)
	}
	if err == nil {
		err = r.prove(host, digest.String(), diffID)
	}
	if err != nil {
		if held != nil {
			held.Release()
		}
		return nil, r.explain(ctx, err, i.from.Digest(digest.String()), pulling)
	}
	return held, nil
}

// fetchAndCompare makes a registry show that it has a layer's bytes.
func fetchAndCompare(l v1.Layer, diffID string) error {
	stream, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer stream.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, stream); err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != diffID {
		return resource.Invalidf("InvalidImage", "A layer says that it is %s and is %s; the image is damaged, or its registry is.", diffID, got)
	}
	return nil
}

// proof is the file that says which diff id a host's blob has. Own registries share theirs.
func (r *Registries) proof(host, digest string) string {
	if r.own(host) {
		host = "own"
	}
	sum := sha256.Sum256([]byte(host + "\n" + digest))
	return filepath.Join(r.Proofs, hex.EncodeToString(sum[:]))
}

func (r *Registries) proven(host, digest, diffID string) bool {
	text, err := os.ReadFile(r.proof(host, digest))
	return err == nil && string(text) == diffID
}

func (r *Registries) prove(host, digest, diffID string) error {
	if err := os.MkdirAll(r.Proofs, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(r.Proofs, "new")
	if err != nil {
		return err
	}
	_, err = file.WriteString(diffID)
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(file.Name(), r.proof(host, digest))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return err
}

// Push writes an image under a full reference. Layers of other repositories of the same registry are mounted where that
// is allowed.
func (r *Registries) Push(ctx context.Context, reference string, image v1.Image) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return resource.Invalidf("InvalidReference", "The image name %q is no reference; write host/repository:tag.", reference).At("images")
	}
	options, err := r.options(ctx, ref.Context().Registry)
	if err != nil {
		return err
	}
	if err := remote.Write(ref, image, options...); err != nil {
		return r.explain(ctx, err, ref, pushing)
	}
	return nil
}

// MayPush asks a registry whether a repository may be pushed to, by beginning an upload that is given up at once.
func (r *Registries) MayPush(ctx context.Context, ref name.Reference) error {
	transport, auth := r.transport(), authn.Anonymous
	account, err := r.account(ref.Context().Registry)
	if err != nil {
		return err
	}
	if account != nil {
		transport, auth = account.http, account.auth
	}
	if err := remote.CheckPushPermission(ref, keychain{auth}, transport); err != nil {
		return r.explain(ctx, err, ref, pushing)
	}
	return nil
}

// keychain has one key for all.
type keychain struct{ auth authn.Authenticator }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.auth, nil }

// who names a host's credential in messages.
func (r *Registries) who(host string) string {
	c, ok := r.Credentials[host]
	switch {
	case !ok:
		return "nobody (no credential is given for the host)"
	case c.Identity == "":
		return fmt.Sprintf("the user %q", c.Username)
	case c.Principal != "":
		return c.Principal
	}
	return c.Identity
}
