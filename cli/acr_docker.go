package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
)

// dockerConfig reads docker's configuration, which crane, oras, skopeo and podman read as well: $DOCKER_CONFIG/config.json,
// or ~/.docker/config.json.
func (c *Call) dockerConfig() (*configfile.ConfigFile, error) {
	dir := c.Program.Env("DOCKER_CONFIG")
	if dir == "" {
		home := c.Program.Env("HOME")
		if home == "" {
			var err error
			if home, err = os.UserHomeDir(); err != nil {
				return nil, fmt.Errorf("no folder for docker's configuration: set DOCKER_CONFIG: %w", err)
			}
		}
		dir = filepath.Join(home, ".docker")
	}
	// Load does not look behind a link that leads nowhere, and would take an unreadable file for an absent one.
	if _, err := os.Stat(filepath.Join(dir, config.ConfigFileName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("docker's configuration cannot be read: %w", err)
	}
	loaded, err := config.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("docker's configuration cannot be read; mend it or set DOCKER_CONFIG to another folder: %w", err)
	}
	return loaded, nil
}

// storeDockerLogin writes a sign-in where these tools look for it: into the credential helper that the configuration names
// for the server, or else into the file.
//
// An identity token stands beside the user name of the zero GUID with an empty password. docker, crane and oras take the
// token alone; skopeo and podman take it only beside an `auth` with a user name, which is what the file then has.
func (c *Call) storeDockerLogin(login types.AuthConfig) error {
	loaded, err := c.dockerConfig()
	if err != nil {
		return err
	}
	if err := loaded.GetCredentialsStore(login.ServerAddress).Store(login); err != nil {
		return fmt.Errorf("signed in, but docker's configuration %s does not keep it: %w", loaded.Filename, err)
	}
	for _, file := range c.podmanLogins(login.ServerAddress) {
		c.Warn("podman and skopeo look into %s first, which has an older sign-in for %s; `podman logout %s` removes it", file, login.ServerAddress, login.ServerAddress)
	}
	return nil
}

// eraseDockerLogin forgets a sign-in and tells whether there was one.
func (c *Call) eraseDockerLogin(server string) (bool, error) {
	loaded, err := c.dockerConfig()
	if err != nil {
		return false, err
	}
	store := loaded.GetCredentialsStore(server)
	held, err := store.Get(server)
	if err != nil {
		return false, err
	}
	if held.Username == "" && held.IdentityToken == "" && held.Password == "" {
		return false, nil
	}
	return true, store.Erase(server)
}

// podmanLogins gives the files that podman and skopeo prefer to docker's and that have a sign-in for the server.
func (c *Call) podmanLogins(server string) []string {
	var found []string
	for _, file := range []string{c.Program.Env("REGISTRY_AUTH_FILE"), inFolder(c.Program.Env("XDG_RUNTIME_DIR"), "containers/auth.json")} {
		var content struct {
			Auths map[string]json.RawMessage `json:"auths"`
		}
		text, err := os.ReadFile(file)
		if file == "" || err != nil || json.Unmarshal(text, &content) != nil {
			continue
		}
		if _, has := content.Auths[server]; has {
			found = append(found, file)
		}
	}
	return found
}

func inFolder(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}
