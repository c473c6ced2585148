package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/provider/authorization"
	"github.com/alvara-ml/alvara/provider/resources"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// installation is what is chosen once, when a data folder is first used.
type installation struct {
	Tenant        string `json:"tenant"`
	Subscription  string `json:"subscription"`
	Administrator string `json:"administrator"` // object id of the local administrator
}

const (
	installationKey  = "/alvara/installation"
	installationKind = "alvara/installations"
)

// install reads what was chosen, or chooses it.
func install(ctx context.Context, st store.Store) (installation, bool, error) {
	var chosen installation
	doc, err := st.Get(ctx, installationKey)
	if err == nil {
		return chosen, false, json.Unmarshal(doc.Body, &chosen)
	}
	if resource.KindOf(err) != resource.NotFound {
		return chosen, false, err
	}
	return installation{Tenant: uuid.NewString(), Subscription: uuid.NewString()}, true, nil
}

// bootstrap makes the local administrator, the first subscription and the assignment by which the administrator owns
// everything. It ends with the installation's document, so that a crash in between lets it start over.
func bootstrap(ctx context.Context, st store.Store, directory *identity.Directory, config *Config, chosen *installation) error {
	administrator, known := directory.User(administratorName)
	if !known {
		var err error
		administrator, err = directory.CreateUser(ctx, identity.NewUser{UserPrincipalName: administratorName, DisplayName: "Local administrator"})
		if err != nil {
			return fmt.Errorf("the local administrator could not be made: %w", err)
		}
	}
	chosen.Administrator = administrator.ID
	ops, err := resources.SubscriptionOps(resource.MustParseID("/subscriptions/"+chosen.Subscription), "Alvara")
	if err != nil {
		return err
	}
	grant, err := authorization.Grant(uuid.NewString(), access.RoleOwner, administrator.ID, "User", resource.Root, administrator.ID, config.Clock())
	if err != nil {
		return err
	}
	body, err := json.Marshal(chosen)
	if err != nil {
		return err
	}
	_, err = st.Apply(ctx, append(ops, grant, store.Put{Key: installationKey, Kind: installationKind, Body: body, IfMatch: store.None})...)
	return err
}

// administratorName is the user that whoever owns the data folder signs in as.
const administratorName = "admin@alvara.local"
