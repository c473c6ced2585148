package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	orasremote "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/alvara-ml/alvara/resource"
)

// craneAs gives crane's options for somebody who signed in, with an identity token as docker's configuration keeps it, or
// with the same token as a password.
func (w *world) craneAs(name string, identityToken bool) []crane.Option {
	w.t.Helper()
	config := authn.AuthConfig{Username: NoUser, Password: w.refresh("alpha", name)}
	if identityToken {
		config = authn.AuthConfig{IdentityToken: config.Password}
	}
	return []crane.Option{crane.WithAuth(authn.FromConfig(config)), crane.WithTransport(w.http["alpha"].Client().Transport), crane.WithContext(w.t.Context())}
}

// MI-08: crane pushes, pulls, copies, lists and deletes; refusals reach its user as they were worded.
func TestCrane(t *testing.T) {
	for _, identityToken := range []bool{true, false} {
		t.Run(fmt.Sprintf("identity token %v", identityToken), func(t *testing.T) {
			w := newWorld(t)
			host := w.catalog.registries["alpha"].LoginServer
			w.grant("pusher", "AcrPush", alpha())
			w.grant("puller", "AcrPull", alpha())
			w.grant("deleter", "AcrDelete", alpha())
			w.grant("narrow", "AcrPull", RepositoryScope(alpha(), "team/copy"))
			pusher, puller, deleter := w.craneAs("pusher", identityToken), w.craneAs("puller", identityToken), w.craneAs("deleter", identityToken)
			narrow, nobody := w.craneAs("narrow", identityToken), w.craneAs("nobody", identityToken)

			image, err := random.Image(100_000, 3)
			if err != nil {
				t.Fatal(err)
			}
			ref := host + "/team/app:v1"
			if err := crane.Push(image, ref, pusher...); err != nil {
				t.Fatalf("AcrPush pushes: %v", err)
			}
			pulled, err := crane.Pull(ref, puller...)
			if err != nil {
				t.Fatalf("AcrPull pulls: %v", err)
			}
			if err := crane.Save(pulled, ref, t.TempDir()+"/image.tar"); err != nil {
				t.Fatalf("the layers: %v", err)
			}
			want, _ := image.Digest()
			if got, err := crane.Digest(ref, puller...); err != nil || got != want.String() {
				t.Errorf("the digest is %s, %v, expected %s", got, err, want)
			}
			if err := crane.Copy(ref, host+"/team/copy:v2", pusher...); err != nil {
				t.Errorf("copy, with mounts: %v", err)
			}
			if err := crane.Tag(ref, "latest", pusher...); err != nil {
				t.Errorf("tag: %v", err)
			}
			if tags, err := crane.ListTags(host+"/team/app", puller...); err != nil || !slices.Equal(tags, []string{"latest", "v1"}) {
				t.Errorf("tags: %v %v", tags, err)
			}
			if names, err := crane.Catalog(host, puller...); err != nil || !slices.Equal(names, []string{"team/app", "team/copy"}) {
				t.Errorf("catalog: %v %v", names, err)
			}
			if names, err := crane.Catalog(host, narrow...); err != nil || !slices.Equal(names, []string{"team/copy"}) {
				t.Errorf("catalog of somebody with one repository: %v %v", names, err)
			}
			if _, err := crane.Pull(host+"/team/copy:v2", narrow...); err != nil {
				t.Errorf("pull from the one repository: %v", err)
			}
			for what, err := range map[string]error{
				"nobody pulls":           last(crane.Pull(ref, nobody...)),
				"the wrong repository":   last(crane.Pull(ref, narrow...)),
				"AcrPull pushes":         crane.Push(image, host+"/team/mine:v1", puller...),
				"AcrPush deletes":        crane.Delete(host+"/team/copy@"+want.String(), pusher...),
				"AcrDelete pulls":        last(crane.Pull(ref, deleter...)),
				"nobody lists":           last(crane.ListTags(host+"/team/app", nobody...)),
				"nobody lists all":       last(crane.Catalog(host, nobody...)),
				"nobody asks for a head": last(crane.Head(ref, nobody...)),
			} {
				var refused *transport.Error
				if !errors.As(err, &refused) || refused.StatusCode != http.StatusForbidden {
					t.Errorf("%s: %v", what, err)
				} else if what != "nobody asks for a head" && (!strings.Contains(err.Error(), "does not have authorization to perform") || !strings.Contains(err.Error(), "alvara role assignment create")) {
					t.Errorf("%s: the message is lost: %v", what, err)
				}
			}
			if err := crane.Delete(host+"/team/copy@"+want.String(), deleter...); err != nil {
				t.Errorf("AcrDelete deletes: %v", err)
			}
			if _, err := crane.Pull(host+"/team/copy:v2", puller...); err == nil || !strings.Contains(err.Error(), "MANIFEST_UNKNOWN") {
				t.Errorf("what is deleted is pulled: %v", err)
			}
		})
	}
}

func last[T any](_ T, err error) error { return err }

// An index with children, pushed and pulled whole.
func TestCraneIndex(t *testing.T) {
	w := newWorld(t)
	w.grant("pusher", "AcrPush", alpha())
	index, err := random.Index(2000, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(w.catalog.registries["alpha"].LoginServer + "/team/index:v1")
	if err != nil {
		t.Fatal(err)
	}
	options := []remote.Option{remote.WithAuth(authn.FromConfig(authn.AuthConfig{IdentityToken: w.refresh("alpha", "pusher")})), remote.WithTransport(w.http["alpha"].Client().Transport)}
	if err := remote.WriteIndex(ref, index, options...); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Index(ref, options...)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := got.IndexManifest()
	if err != nil || len(manifest.Manifests) != 3 {
		t.Fatalf("%v %v", manifest, err)
	}
	for _, child := range manifest.Manifests {
		image, err := got.Image(child.Digest)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := image.Layers()
		if err != nil || len(layers) != 2 {
			t.Errorf("%d layers, %v", len(layers), err)
		}
	}
}

// oras attaches, discovers and pulls; without the right it is told why.
func TestORAS(t *testing.T) {
	w := newWorld(t)
	w.grant("pusher", "AcrPush", alpha())
	w.grant("puller", "AcrPull", alpha())
	repository := func(who string) *orasremote.Repository {
		r, err := orasremote.NewRepository(w.catalog.registries["alpha"].LoginServer + "/team/artifact")
		if err != nil {
			t.Fatal(err)
		}
		r.Client = &auth.Client{
			Client: w.http["alpha"].Client(), Cache: auth.NewCache(),
			Credential: auth.StaticCredential(r.Reference.Registry, auth.Credential{RefreshToken: w.refresh("alpha", who)}),
		}
		return r
	}
	ctx, source := t.Context(), memory.New()
	layer, err := oras.PushBytes(ctx, source, "text/plain", []byte("an artifact"))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := oras.PackManifest(ctx, source, oras.PackManifestVersion1_1, "application/x.thing", oras.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Tag(ctx, subject, "v1"); err != nil {
		t.Fatal(err)
	}
	if _, err := oras.Copy(ctx, source, "v1", repository("pusher"), "v1", oras.DefaultCopyOptions); err != nil {
		t.Fatalf("push: %v", err)
	}
	attach := func(to *orasremote.Repository, artifactType string) (ocispec.Descriptor, error) {
		return oras.PackManifest(ctx, to, oras.PackManifestVersion1_1, artifactType, oras.PackManifestOptions{
			Subject: &subject, ManifestAnnotations: map[string]string{"by": "us", ocispec.AnnotationCreated: "2026-01-01T00:00:00Z"},
		})
	}
	sbom, err := attach(repository("pusher"), "application/x.sbom")
	if err != nil {
		t.Fatalf("attach: %v", err)
	}
	if _, err := attach(repository("pusher"), "application/x.signature"); err != nil {
		t.Fatalf("attach: %v", err)
	}
	discover := func(from *orasremote.Repository, artifactType string) (found []ocispec.Descriptor, err error) {
		err = from.Referrers(ctx, subject, artifactType, func(some []ocispec.Descriptor) error {
			found = append(found, some...)
			return nil
		})
		return found, err
	}
	if all, err := discover(repository("puller"), ""); err != nil || len(all) != 2 {
		t.Errorf("discover: %v %v", all, err)
	}
	one, err := discover(repository("puller"), "application/x.sbom")
	if err != nil || len(one) != 1 || one[0].Digest != sbom.Digest || one[0].Annotations["by"] != "us" {
		t.Errorf("discover by type: %v %v", one, err)
	}
	pulled := memory.New()
	if _, err := oras.Copy(ctx, repository("puller"), "v1", pulled, "v1", oras.DefaultCopyOptions); err != nil {
		t.Fatalf("pull: %v", err)
	}
	reader, err := pulled.Fetch(ctx, layer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, []byte("an artifact")) {
		t.Errorf("pulled %q, %v", got, err)
	}
	for what, err := range map[string]error{
		"AcrPull attaches": last(attach(repository("puller"), "application/x.sbom")),
		"nobody discovers": last(discover(repository("nobody"), "")),
		"AcrPush deletes":  repository("pusher").Delete(ctx, sbom),
	} {
		var refused *errcode.ErrorResponse
		if !errors.As(err, &refused) || refused.StatusCode != http.StatusForbidden || len(refused.Errors) != 1 || refused.Errors[0].Code != "DENIED" {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.grant("root", "Owner", resource.Root)
	if err := repository("root").Delete(context.WithoutCancel(ctx), sbom); err != nil {
		t.Errorf("delete: %v", err)
	}
	if all, err := discover(repository("puller"), ""); err != nil || len(all) != 1 {
		t.Errorf("discover after delete: %v %v", all, err)
	}
}
