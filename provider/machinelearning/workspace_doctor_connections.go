package machinelearning

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// namedIdentity is a user-assigned identity that something in the workspace names to pull base images (MI-11, MI-12).
type namedIdentity struct {
	from   string      // what names it, in words
	what   resource.ID // that
	id     resource.ID
	client string
	host   string // of the registry that is pulled from; "" when that is not known
}

// registryConnections are the connections that name an identity for a registry.
func (e *examination) registryConnections(ctx context.Context) ([]namedIdentity, error) {
	connections, err := readBelow[Connection](ctx, e, connectionType)
	if err != nil {
		return nil, err
	}
	var out []namedIdentity
	for _, connection := range connections {
		p := connection.Properties
		text, _ := p.Credentials["resourceId"].(string)
		client, _ := p.Credentials["clientId"].(string)
		if !p.toRegistry() || text == "" {
			continue
		}
		id, err := resource.ParseID(text)
		if err != nil {
			return nil, err
		}
		out = append(out, namedIdentity{"The connection " + connection.Name, connection.ID, id, client, hostOf(p.Target)})
	}
	return out, nil
}

// entry reads the identity that is named. usable is false when it is not there any more, is another one, or may not be read.
func (n namedIdentity) entry(ctx context.Context, e *examination) (now arm.UserAssignedEntry, found, usable bool, err error) {
	var identity struct {
		Properties arm.UserAssignedEntry `json:"properties"`
	}
	found, readable, err := e.read(ctx, n.id, "whether "+n.from+" can be used", &identity)
	now = identity.Properties
	return now, found, readable && found && strings.EqualFold(now.ClientID, n.client), err
}

// checkConnectionIdentities: the identities that connections name are there, under the client id that the connection has.
func checkConnectionIdentities(ctx context.Context, e *examination) error {
	connections, err := readBelow[Connection](ctx, e, connectionType)
	if err != nil {
		return err
	}
	byID := map[string]*arm.Resource[Connection]{}
	for _, connection := range connections {
		byID[connection.ID.Key()] = connection
	}
	all, err := e.registryConnections(ctx)
	if err != nil {
		return err
	}
	for _, one := range all {
		now, found, usable, err := one.entry(ctx, e)
		if err != nil {
			return err
		}
		if usable || (!found && e.hidden[string(one.id.Type())+"/read"+one.id.Key()]) {
			continue
		}
		f := Finding{ID: "ConnectionIdentityGone", Level: levelError, What: one.what.String(), Why: "Builds that pull base images through the connection are refused."}
		connection := byID[one.what.Key()]
		if !found {
			f.Message = fmt.Sprintf("%s names the identity '%s', which does not exist. Make the connection again with another one, or take it away.", one.from, one.id)
			f.Cure, f.Manual = []string{e.onWorkspace("ml", "connection", "delete", "-n", connection.Name, "--yes")}, true
		} else {
			f.ID = "ConnectionClientDiffers"
			f.Message = fmt.Sprintf("%s names the identity '%s' with the client id %s, and that identity has the client id %s now: it was made anew.", one.from, one.id, one.client, now.ClientID)
			value, err := json.Marshal(struct{ ResourceId, ClientId string }{one.id.String(), now.ClientID})
			if err != nil {
				return err
			}
			p := connection.Properties
			f.Cure = []string{e.onWorkspace("ml", "connection", "create", "-n", connection.Name, "--category", p.Category, "--auth-type", p.AuthType, "--target", p.Target, "--value", string(value))}
		}
		e.add(f)
	}
	return nil
}

// checkConnectionGrants: a workspace may have builds act as the identities that its connections name, and these may pull from
// the registries that they are named for (MI-11).
func checkConnectionGrants(ctx context.Context, e *examination) error {
	all, err := e.registryConnections(ctx)
	if err != nil {
		return err
	}
	for _, one := range all {
		if _, known := e.hosts[one.host]; !known {
			e.add(Finding{
				ID: "ConnectionRegistryUnknown", Level: levelWarning, What: one.what.String(),
				Message: fmt.Sprintf("%s has the target %q, which is no registry of this server.", one.from, one.host),
				Why:     "Images of this server's registries are not pulled through it. Registries elsewhere are shown tokens of identities only when the server was started with --trust-registry for them.",
			})
		}
		if err := e.checkNamed(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// checkNamed looks for the grants that a pull as a named identity takes.
func (e *examination) checkNamed(ctx context.Context, one namedIdentity) error {
	now, _, usable, err := one.entry(ctx, e)
	if err != nil || !usable {
		return err
	}
	if g := (grant{identityUser, one.id}); e.who != "" && e.who != now.PrincipalID && !g.heldBy(e.call, e.who) {
		e.add(Finding{
			ID: "OperatorRoleMissing", Level: levelError, What: one.id.String(),
			Message: fmt.Sprintf("%s names the identity '%s', and the workspace's identity (principal %s) does not hold %s.", one.from, one.id, e.who, g),
			Why:     "The workspace has builds act as that identity, which takes this role on it.",
			Cure:    []string{g.cure(e.who)},
		})
	}
	registry, known := e.hosts[one.host]
	if !known || !e.mayRead(registry, "whether identities may pull from it") {
		return nil
	}
	if g := (grant{acrPull, registry}); !g.heldBy(e.call, now.PrincipalID) {
		e.add(Finding{
			ID: "RegistryIdentityCannotPull", Level: levelError, What: one.what.String(),
			Message: fmt.Sprintf("%s names the identity '%s' (principal %s), which does not hold %s.", one.from, one.id, now.PrincipalID, g),
			Why:     "Builds on base images of that registry pull as this identity, and are refused.",
			Cure:    []string{g.cure(now.PrincipalID)},
		})
	}
	return nil
}
