package quickstart

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/docker/cli/cli/config"

	"github.com/alvara-ml/alvara/examples/image"
)

// The names of what the registry act makes.
const (
	imagesGroup  = "images"
	registryName = "fraudimages"
	builder      = "image-builder"
	scoreImage   = "fraud/score"
	trainerName  = "quickstart-trainer"
)

// registry is the second act: a registry that needs no password, and images that an identity builds.
func (t *tour) registry() error {
	if runtime.GOOS != "linux" {
		t.say("\nImage builds need Linux; the registry's act is left out on %s.", runtime.GOOS)
		return nil
	}
	a := &registryAct{tour: t}
	for _, chapter := range []func() error{a.makeRegistry, a.build, a.pull, a.revoke} {
		if err := chapter(); err != nil {
			return err
		}
	}
	return nil
}

type registryAct struct {
	*tour
	id          string
	loginServer string
}

func (a *registryAct) makeRegistry() error {
	a.title("A container registry whose admin user is off: it has no password to lose")
	a.as("admin")
	if _, err := a.run("login", "--local", "--data", a.Dir); err != nil {
		return err
	}
	if _, err := a.run("group", "create", "-n", imagesGroup, "-l", "local"); err != nil {
		return err
	}
	if _, err := a.run("acr", "create", "-n", registryName, "-g", imagesGroup, "--sku", "Standard"); err != nil {
		return err
	}
	if err := a.show("acr", "show", "-n", registryName, "--query", "{name: name, loginServer: loginServer, adminUserEnabled: adminUserEnabled}", "-o", "yaml"); err != nil {
		return err
	}
	var err error
	if a.id, err = a.field("id", "acr", "show", "-n", registryName); err != nil {
		return err
	}
	if a.loginServer, err = a.field("loginServer", "acr", "show", "-n", registryName); err != nil {
		return err
	}
	a.say("Even its owner gets no passwords of it, and no password opens it:")
	if err := a.refused("acr", "credential", "show", "-n", registryName); err != nil {
		return err
	}
	return a.refused("acr", "login", "-n", registryName, "-u", registryName, "-p", "a password from before")
}

// build builds two images as an identity, which is refused before it holds a role.
func (a *registryAct) build() error {
	a.title("Images are built by an identity of their own, which needs a role like everybody")
	if err := image.Shell(a.folder("image", "shell")); err != nil {
		return err
	}
	if err := image.Copy(a.folder("image")); err != nil {
		return err
	}
	if _, err := a.run("identity", "create", "-n", builder, "-g", imagesGroup); err != nil {
		return err
	}
	var identity struct {
		ID        string `json:"id"`
		Principal string `json:"principalId"`
	}
	if err := a.quietly(&identity, "identity", "show", "-n", builder, "-g", imagesGroup, "--query", "{id: id, principalId: principalId}"); err != nil {
		return err
	}
	grant := []string{"--assignee", identity.Principal, "--role", "AcrPush", "--scope", a.id}
	base := []string{"acr", "build", "-r", registryName, "-t", "base/shell:1", "--identity", identity.ID, a.folder("image", "shell")}
	held, err := a.field("length(@)", append([]string{"role", "assignment", "list"}, grant...)...)
	if err != nil {
		return err
	}
	if held == "0" { // the first showing
		a.say("Without a role it cannot push its first image, of this machine's own shell, and hears so before anything is built:")
		if err := a.refused(base...); err != nil {
			return err
		}
	}
	if _, err := a.run(append([]string{"role", "assignment", "create"}, grant...)...); err != nil {
		return err
	}
	if _, err := a.run(append(base, "-o", "none")...); err != nil {
		return err
	}
	a.say("And an image of two stages on top of it; RUN is sandboxed, without network and without the identity's tokens:")
	score := []string{"acr", "build", "-r", registryName, "-t", scoreImage + ":1", "--build-arg", "REGISTRY=" + a.loginServer, "--identity", identity.ID, a.folder("image", "score"), "-o", "none"}
	if err := a.told(score...); err != nil {
		return err
	}
	return a.show("acr", "task", "list-runs", "-r", registryName, "-o", "table")
}

// told is run for a command whose messages are what there is to see.
func (a *registryAct) told(args ...string) error {
	code, _, stderr := a.command(args)
	a.say("%s", indent(wrap(stderr, 118)))
	if code != 0 {
		return fmt.Errorf("%w: %q ended with exit code %d", errStep, "alvara "+quote(args), code)
	}
	return nil
}

// pull has a trainer pull the one image that its role reaches, and a stranger none.
func (a *registryAct) pull() error {
	a.title("A role can reach one repository: the trainer pulls %s and nothing else, a stranger nothing", scoreImage)
	for _, who := range []string{"trainer", "stranger"} {
		var made person
		if err := a.quietly(&made, "ad", "sp", "create-for-rbac", "-n", "quickstart-"+who); err != nil {
			return err
		}
		if who == "trainer" {
			if _, err := a.run("role", "assignment", "create", "--assignee", made.AppID, "--role", "AcrPull", "--scope", a.repository()); err != nil {
				return err
			}
		}
		if err := a.signIn(who, made); err != nil {
			return err
		}
	}
	a.as("trainer")
	// Whoever may pull need not see the resource: the login server is the registry's name for such people.
	if _, err := a.run("acr", "login", "-n", a.loginServer); err != nil {
		return err
	}
	if err := a.pulled(scoreImage + ":1"); err != nil {
		return err
	}
	if err := a.notPulled("base/shell:1"); err != nil {
		return err
	}
	a.as("stranger")
	if _, err := a.run("acr", "login", "-n", a.loginServer); err != nil {
		return err
	}
	return a.notPulled(scoreImage + ":1")
}

func (a *registryAct) repository() string { return a.id + "/repositories/" + scoreImage }

func (a *registryAct) revoke() error {
	a.title("Take the trainer's role away: its next pull is refused, with the token that it holds already")
	a.as("admin")
	trainer, err := a.field("[0].appId", "ad", "sp", "list", "--display-name", trainerName)
	if err != nil {
		return err
	}
	if _, err := a.run("role", "assignment", "delete", "--yes", "--assignee", trainer, "--role", "AcrPull", "--scope", a.repository()); err != nil {
		return err
	}
	a.as("trainer")
	return a.notPulled(scoreImage + ":1")
}

// pulled pulls an image, as crane, docker or any other client would with the configuration that `acr login` wrote.
func (a *registryAct) pulled(repository string) error {
	digest, err := a.fetch(repository)
	if err != nil {
		return fmt.Errorf("%w: %s should have been pulled: %w", errStep, repository, err)
	}
	a.say("    %s", digest)
	return nil
}

func (a *registryAct) notPulled(repository string) error {
	_, err := a.fetch(repository)
	if err == nil {
		return fmt.Errorf("%w: pulling %s should have been refused", errStep, repository)
	}
	a.say("%s", indent(wrap(err.Error(), 118)))
	return nil
}

// fetch reads an image to its last byte and checks it, and gives its digest.
func (a *registryAct) fetch(repository string) (string, error) {
	a.say("%s $ crane pull %s/%s score.tar", a.actor, a.loginServer, repository)
	reference, err := name.ParseReference(a.loginServer + "/" + repository)
	if err != nil {
		return "", err
	}
	file, err := config.Load(a.env("DOCKER_CONFIG"))
	if err != nil {
		return "", err
	}
	stored, err := file.GetAuthConfig(a.loginServer)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(a.Dir, "tls", "ca.pem"))
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return "", errors.New("tls/ca.pem holds no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	found, err := remote.Image(reference, remote.WithContext(a.ctx), remote.WithTransport(transport), remote.WithAuth(authn.FromConfig(authn.AuthConfig{
		Username: stored.Username, Password: stored.Password, IdentityToken: stored.IdentityToken,
	})))
	if err != nil {
		return "", err
	}
	if err := validate.Image(found); err != nil {
		return "", err
	}
	digest, err := found.Digest()
	return digest.String(), err
}
