package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/config"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"
)

// dockerKeychain signs in as docker's configuration in a folder says.
type dockerKeychain struct{ dir string }

// Resolve implements authn.Keychain.
func (k dockerKeychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	loaded, err := config.Load(k.dir)
	if err != nil {
		return nil, err
	}
	found, err := loaded.GetAuthConfig(target.RegistryStr())
	if err != nil {
		return nil, err
	}
	return authn.FromConfig(authn.AuthConfig{Username: found.Username, Password: found.Password, IdentityToken: found.IdentityToken}), nil
}

// transferImage is the script's command that pushes and pulls as crane does, with the sign-in of $DOCKER_CONFIG:
//
//	image push|pull HOST/REPOSITORY:TAG
func transferImage(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: image push|pull HOST/REPOSITORY:TAG")
	}
	target, err := name.ParseReference(args[1])
	ts.Check(err)
	pem, err := os.ReadFile(filepath.Join(ts.Getenv("DATA"), "tls", "bundle.pem"))
	ts.Check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	options := []remote.Option{remote.WithTransport(transport), remote.WithAuthFromKeychain(dockerKeychain{ts.Getenv("DOCKER_CONFIG")})}
	if args[0] == "push" {
		image, makeErr := random.Image(1024, 2)
		ts.Check(makeErr)
		err = remote.Write(target, image, options...)
	} else {
		_, err = remote.Image(target, options...)
	}
	if err != nil {
		_, _ = ts.Stderr().Write([]byte(err.Error() + "\n"))
	}
	if (err != nil) != neg {
		ts.Fatalf("%s %s: %v", args[0], args[1], err)
	}
}
