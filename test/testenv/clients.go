package testenv

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// registryUser is the user name that goes with a registry's refresh token.
const registryUser = "00000000-0000-0000-0000-000000000000"

var (
	toolsLock sync.Mutex
	tools     = map[string]string{} // by package path
)

// Tool builds a program of the module's own dependencies, a client that people use, and gives its path.
func Tool(t testing.TB, packagePath string) string {
	t.Helper()
	return built(t, packagePath, os.Environ())
}

// StaticTool is Tool for a program that runs in an image without anything beside it.
func StaticTool(t testing.TB, packagePath string) string {
	t.Helper()
	return built(t, packagePath, append(os.Environ(), "CGO_ENABLED=0"))
}

func built(t testing.TB, packagePath string, env []string) string {
	t.Helper()
	toolsLock.Lock()
	defer toolsLock.Unlock()
	if path := tools[packagePath]; path != "" {
		return path
	}
	// The folder outlives the test, for the package's others, and is one for all packages: go build keeps it up to date.
	path := filepath.Join(os.TempDir(), "alvara-test-tools", filepath.Base(packagePath))
	build := exec.Command("go", "build", "-trimpath", "-o", path, packagePath)
	build.Env = env
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", packagePath, err, out)
	}
	tools[packagePath] = path
	return path
}

// RegistryToken exchanges the user's token for a refresh token of a registry, as `acr login` does.
func (u *User) RegistryToken(loginServer string) string {
	u.env.t.Helper()
	answer, err := u.env.HTTP.PostForm("https://"+loginServer+"/oauth2/exchange", url.Values{
		"grant_type": {"access_token"}, "service": {loginServer}, "tenant": {u.env.Server.Endpoints.Tenant}, "access_token": {u.Token(managementAudience)},
	})
	if err != nil {
		u.env.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		u.env.t.Fatal(err)
	}
	parsed := Answer{Raw: text}
	parsed.parse()
	if answer.StatusCode != http.StatusOK || parsed.Text("refresh_token") == "" {
		u.env.t.Fatalf("the registry's exchange answers %s: %s", answer.Status, text)
	}
	return parsed.Text("refresh_token")
}

// DockerConfig writes docker's configuration for the user at some registries into a folder of its own, and gives the
// environment in which clients that read it trust the server.
func (u *User) DockerConfig(loginServers ...string) []string {
	u.env.t.Helper()
	folder := u.env.t.TempDir()
	file := configfile.New(filepath.Join(folder, "config.json"))
	for _, host := range loginServers {
		file.AuthConfigs[host] = types.AuthConfig{Username: registryUser, Password: u.RegistryToken(host), ServerAddress: host}
	}
	if err := file.Save(); err != nil {
		u.env.t.Fatal(err)
	}
	return append(os.Environ(), "DOCKER_CONFIG="+folder, "HOME="+folder, "XDG_RUNTIME_DIR="+folder, "REGISTRY_AUTH_FILE="+file.Filename,
		"SSL_CERT_FILE="+u.env.Server.Endpoints.CAFile)
}

// Remote gives the settings with which go-containerregistry, the library of crane, acts as the user at a registry. It does
// not repeat what fails.
func (u *User) Remote(loginServer string) []remote.Option {
	u.env.t.Helper()
	return []remote.Option{
		remote.WithAuth(authn.FromConfig(authn.AuthConfig{IdentityToken: u.RegistryToken(loginServer)})), remote.WithTransport(u.env.HTTP.Transport),
		remote.WithRetryBackoff(remote.Backoff{Duration: 1, Factor: 1, Steps: 1}), remote.WithContext(u.env.t.Context()),
	}
}

// Command runs a program in an environment and gives all that it printed.
func Command(env []string, program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
