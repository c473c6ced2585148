package cli

import (
	"fmt"

	"github.com/docker/cli/cli/config/types"

	"github.com/alvara-ml/alvara/cli/document"
)

type acrLogin struct {
	planeFlags
	ExposeToken bool `name:"expose-token" short:"t" help:"Print a token for the registry, and write nothing."`
}

func (a *acrLogin) Run(c *Call) error {
	if a.ExposeToken && a.Username != "" {
		return usagef("--expose-token gives a token of whom is signed in, and goes without --username and --password")
	}
	plane, err := a.plane(c)
	if err != nil {
		return err
	}
	asked, err := plane.greet()
	if err != nil {
		return err
	}
	if plane.username != "" {
		// What docker would do: the password is tried before it is kept.
		asked.scope = ""
		if _, err := plane.token(asked); err != nil {
			return err
		}
		return a.keep(c, types.AuthConfig{ServerAddress: plane.server, Username: plane.username, Password: plane.password})
	}
	token, err := plane.exchange(asked.service)
	if err != nil {
		return err
	}
	if a.ExposeToken {
		c.Warn("the token signs in wherever a password is asked for: `docker login %s -u %s --password-stdin`", plane.server, tokenUser)
		return c.Print(document.New("accessToken", token, "loginServer", plane.server))
	}
	return a.keep(c, types.AuthConfig{ServerAddress: plane.server, Username: tokenUser, IdentityToken: token})
}

func (a *acrLogin) keep(c *Call, login types.AuthConfig) error {
	if err := c.storeDockerLogin(login); err != nil {
		return err
	}
	if c.Globals.Output == "none" {
		return nil
	}
	_, err := fmt.Fprintln(c.Program.Stdout, "Login Succeeded")
	return err
}

type acrLogout struct{ registryName }

func (a *acrLogout) Run(c *Call) error {
	server, err := a.loginServer(c)
	if err != nil {
		return err
	}
	was, err := c.eraseDockerLogin(server)
	if err == nil && !was {
		err = &notFound{"docker's configuration has no sign-in for " + server}
	}
	return err
}
