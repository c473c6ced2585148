package cli

import (
	"net/http"

	"github.com/alvara-ml/alvara/cli/document"
)

type acrCredentialGroup struct {
	Show  acrCredentialShow  `cmd:"" help:"Show the admin user's passwords; refused while it is off." example:"alvara acr credential show -n fraudacr"`
	Renew acrCredentialRenew `cmd:"" help:"Make a new password; the old one and every token of the admin user, from either password, end at once." example:"alvara acr credential renew -n fraudacr --password-name password2"`
}

const passwordColumns = "[].{USERNAME:username, PASSWORD:passwords[0].value, PASSWORD2:passwords[1].value}"

type acrCredentialShow struct{ registryName }

func (a *acrCredentialShow) Run(c *Call) error {
	path, err := a.path(c)
	if err != nil {
		return err
	}
	answer, err := c.arm(http.MethodPost, path+"/listCredentials", registryAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(answer, passwordColumns)
}

type acrCredentialRenew struct {
	registryName
	PasswordName string `name:"password-name" enum:"password,password2" required:"" help:"Which one: ${enum}."`
}

func (a *acrCredentialRenew) Run(c *Call) error {
	path, err := a.path(c)
	if err != nil {
		return err
	}
	answer, err := c.arm(http.MethodPost, path+"/regenerateCredential", registryAPI, document.New("name", a.PasswordName))
	if err != nil {
		return err
	}
	return c.PrintColumns(answer, passwordColumns)
}
