package cli

import (
	"net/http"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/resource"
)

type acrIdentityGroup struct {
	Assign acrIdentityAssign `cmd:"" help:"Give a registry identities." example:"alvara acr identity assign -n fraudacr --identities [system] builder"`
	Remove acrIdentityRemove `cmd:"" help:"Take identities from a registry." example:"alvara acr identity remove -n fraudacr --identities builder"`
	Show   acrIdentityShow   `cmd:"" help:"Show a registry's identities." example:"alvara acr identity show -n fraudacr --query principalId -o tsv"`
}

const (
	systemIdentity = "[system]"
	allIdentities  = "[all]"

	identityColumnsOfRegistry = "[].{Type:type, PrincipalId:principalId, TenantId:tenantId}"
)

// registryIdentityID gives the id of a user-assigned identity that is named by its id, or by its name in the group.
func (c *Call) registryIdentityID(nameOrID, group string) (string, error) {
	if strings.HasPrefix(nameOrID, "/") {
		id, err := resource.ParseID(nameOrID)
		if err != nil {
			return "", usagef("%q is no identity: %s", nameOrID, plainMessage(err))
		}
		return id.String(), nil
	}
	if nameOrID == "" || strings.ContainsAny(nameOrID, "[]") {
		return "", usagef("%q is no identity: give [system], or the name or the id of a user-assigned one", nameOrID)
	}
	return namedInGroup{Name: nameOrID, ResourceGroup: group}.path(c, identityProvider)
}

// newIdentity is the identity block of a new resource; nil when none is asked for.
func (c *Call) newIdentity(wanted []string, group string) (*document.Object, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	system, users := false, document.New()
	for _, one := range wanted {
		if strings.EqualFold(one, systemIdentity) {
			system = true
			continue
		}
		id, err := c.registryIdentityID(one, group)
		if err != nil {
			return nil, err
		}
		users.Set(id, document.New())
	}
	return document.New("type", identityType(system, users.Len() > 0)).SetIf("userAssignedIdentities", users), nil
}

func identityType(system, user bool) string {
	switch {
	case system && user:
		return "SystemAssigned, UserAssigned"
	case system:
		return "SystemAssigned"
	case user:
		return "UserAssigned"
	}
	return "None"
}

type acrIdentityFlags struct {
	Identities []string `sep:"none" required:"" placeholder:"ID" help:"[system], and names or ids of user-assigned identities; a name is one of the registry's group."`
	registryName
}

// registryIdentity reads the identities that a registry has now, and its id.
func (r registryName) registryIdentity(c *Call) (path string, system bool, users []string, err error) {
	if path, err = r.path(c); err != nil {
		return "", false, nil, err
	}
	found, err := c.arm(http.MethodGet, path, registryAPI, nil)
	if err != nil {
		return "", false, nil, err
	}
	held := found.Object("identity")
	system = strings.Contains(strings.ToLower(held.Text("type")), "systemassigned")
	return path, system, held.Object("userAssignedIdentities").Keys(), nil
}

func (r registryName) patchIdentity(c *Call, path string, identity *document.Object) error {
	changed, err := c.armFinish(http.MethodPatch, path, registryAPI, document.New("identity", identity), "Updating registry "+r.Name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(changed), registryColumns)
}

type acrIdentityAssign struct{ acrIdentityFlags }

func (a *acrIdentityAssign) Run(c *Call) error {
	path, system, held, err := a.registryIdentity(c)
	if err != nil {
		return err
	}
	wanted, err := c.newIdentity(a.Identities, groupOf(path))
	if err != nil {
		return err
	}
	// Only those that are new are named: a patch leaves the others as they are.
	system = system || strings.HasPrefix(wanted.Text("type"), "SystemAssigned")
	users := wanted.Object("userAssignedIdentities")
	identity := document.New("type", identityType(system, users.Len()+len(held) > 0)).SetIf("userAssignedIdentities", users)
	return a.patchIdentity(c, path, identity)
}

type acrIdentityRemove struct{ acrIdentityFlags }

func (a *acrIdentityRemove) Run(c *Call) error {
	path, system, held, err := a.registryIdentity(c)
	if err != nil {
		return err
	}
	had, removed := system, document.New()
	for _, one := range a.Identities {
		switch {
		case strings.EqualFold(one, allIdentities):
			system = false
			for _, id := range held {
				removed.Set(id, nil)
			}
			continue
		case strings.EqualFold(one, systemIdentity):
			if !had {
				return &notFound{"the registry " + a.Name + " has no system-assigned identity"}
			}
			system = false
			continue
		}
		id, err := c.registryIdentityID(one, groupOf(path))
		if err != nil {
			return err
		}
		at := slices.IndexFunc(held, func(h string) bool { return strings.EqualFold(h, id) })
		if at < 0 {
			return &notFound{"the registry " + a.Name + " does not have the identity " + id}
		}
		removed.Set(held[at], nil)
	}
	identity := document.New("type", identityType(system, removed.Len() < len(held)))
	return a.patchIdentity(c, path, identity.SetIf("userAssignedIdentities", removed))
}

type acrIdentityShow struct{ registryName }

func (a *acrIdentityShow) Run(c *Call) error {
	path, err := a.path(c)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, registryAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(found.Object("identity"), identityColumnsOfRegistry)
}
