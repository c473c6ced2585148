package containerregistry

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Actor is the identity as which a run speaks to a registry. With neither principal nor resource it is a user name with
// a password, which are among the run's secrets.
type Actor struct {
	Identity  string `json:"identity,omitempty"`  // the id of a user-assigned identity
	Owner     string `json:"owner,omitempty"`     // the id of another resource, whose system-assigned identity scheduled the run
	ClientID  string `json:"clientId,omitempty"`  // of either; "" for the registry's own identity
	Principal string `json:"principal,omitempty"` // object id
}

// system tells whether the actor is the registry's own identity.
func (a Actor) system() bool { return a.Identity == "" && a.Owner == "" && a.Principal != "" }

const (
	systemIdentity = "[system]"
	callerIdentity = "[caller]"
)

var clientID = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

// actor finds the identity that a request names: [system], [caller], or a user-assigned one by its resource id or client id.
// Whoever names one that is neither the registry's own nor itself must be allowed to assign it (MI-11).
func actor(ctx context.Context, call *arm.Call, r *arm.Resource[Registry], field, name string) (Actor, error) {
	switch {
	case strings.EqualFold(name, systemIdentity):
		if !r.Identity.HasSystem() {
			return Actor{}, resource.Invalidf("IdentityNotFound",
				"%s: the registry %s has no identity of its own that the run could act as. Give it one with: alvara acr identity assign -n %s -g %s --identities '[system]' (and grant it AcrPush on the registry), or name a user-assigned identity.",
				field, r.Name, r.Name, r.ID.ResourceGroup()).At(field)
		}
		return Actor{Principal: r.Identity.PrincipalID}, nil
	case strings.EqualFold(name, callerIdentity):
		return callingIdentity(call, field)
	case strings.HasPrefix(name, "/"):
		id, err := resource.ParseID(name)
		if err != nil || !id.Type().Is(arm.UserAssignedIdentities) {
			return Actor{}, resource.Invalidf("InvalidIdentityId", "%s is %q, which is not the id of a user-assigned identity", field, name).At(field)
		}
		return assigned(ctx, call, r, field, id)
	case clientID.MatchString(name):
		id, err := byClientID(ctx, call, r, field, name)
		if err != nil {
			return Actor{}, err
		}
		return assigned(ctx, call, r, field, id)
	}
	return Actor{}, resource.Invalidf("InvalidIdentity", "%s is %q; [system], the client id of a user-assigned identity or its resource id was expected", field, name).At(field)
}

// callingIdentity has the run act as its caller, when that is a managed identity, such as a workspace's: it has no session that
// could have ended when the run begins.
func callingIdentity(call *arm.Call, field string) (Actor, error) {
	id, err := resource.ParseID(call.Who.ResourceID)
	if call.Who.ResourceID == "" || err != nil {
		return Actor{}, refused(field, "a run acts as its caller only when that is a managed identity; others may have signed out when it begins. Name [system] or a user-assigned identity")
	}
	out := Actor{ClientID: call.Who.ClientID, Principal: call.Who.ID}
	if id.Type().Is(arm.UserAssignedIdentities) {
		out.Identity = id.String()
	} else {
		out.Owner = id.String()
	}
	return out, nil
}

// assigned checks that the caller may have the run act as a user-assigned identity.
func assigned(ctx context.Context, call *arm.Call, r *arm.Resource[Registry], field string, id resource.ID) (Actor, error) {
	found, err := call.Manager.UserAssigned(ctx, id)
	absent := resource.KindOf(err) == resource.Invalid
	if err != nil && !absent {
		return Actor{}, err
	}
	if absent || !carries(r.Identity, id, found.PrincipalID) { // who may not assign it does not learn whether it is there
		refusal := call.Manager.Guard.Check(ctx, guard.Request{
			Who: call.Who, Action: arm.AssignAction, Scopes: []resource.ID{id}, Plane: arm.ResourceManager, RequestID: call.RequestID, Client: call.Client, Job: call.Job,
		})
		if refusal != nil {
			return Actor{}, refusal
		}
	}
	if e, ok := resource.AsError(err); ok && absent {
		return Actor{}, e.At(field)
	}
	return Actor{Identity: id.String(), ClientID: found.ClientID, Principal: found.PrincipalID}, nil
}

// carries tells whether a user-assigned identity is one of the registry's own, and still the one that was assigned.
func carries(identity *arm.Identity, id resource.ID, principal string) bool {
	if identity == nil {
		return false
	}
	for text, held := range identity.UserAssigned {
		if strings.EqualFold(text, id.String()) && held != nil && held.PrincipalID == principal {
			return true
		}
	}
	return false
}

// byClientID finds a user-assigned identity, among the registry's own first.
func byClientID(ctx context.Context, call *arm.Call, r *arm.Resource[Registry], field, client string) (resource.ID, error) {
	if r.Identity != nil {
		for _, text := range slices.Sorted(maps.Keys(r.Identity.UserAssigned)) {
			if held := r.Identity.UserAssigned[text]; held != nil && strings.EqualFold(held.ClientID, client) {
				return resource.ParseID(text)
			}
		}
	}
	docs, err := call.Manager.Store.List(ctx, store.Query{Kind: arm.UserAssignedIdentities.Key()})
	if err != nil {
		return resource.Root, err
	}
	for _, doc := range docs {
		var identity struct {
			ID         resource.ID           `json:"id"`
			Properties arm.UserAssignedEntry `json:"properties"`
		}
		if err := json.Unmarshal(doc.Body, &identity); err != nil {
			return resource.Root, err
		}
		if strings.EqualFold(identity.Properties.ClientID, client) {
			return identity.ID, nil
		}
	}
	return resource.Root, resource.Invalidf("IdentityNotFound", "%s is %q, which is the client id of no user-assigned identity; find it with: alvara identity show -g GROUP -n NAME --query clientId", field, client).At(field)
}

// present tells whether an actor is still the one that the run was allowed to act as. An identity that was deleted and made
// again is another one.
func (a Actor) present(ctx context.Context, st store.Store, r *arm.Resource[Registry]) error {
	gone := func(what string) error {
		return resource.Invalidf("IdentityNotFound", "%s that the run was to act as is no longer there, or was made anew; schedule the run again", what)
	}
	switch {
	case a.Principal == "":
		return nil
	case a.system():
		if !r.Identity.HasSystem() || r.Identity.PrincipalID != a.Principal {
			return gone("The identity of the registry " + r.Name)
		}
		return nil
	}
	id, err := resource.ParseID(a.Identity + a.Owner) // one of them is set
	if err != nil {
		return err
	}
	doc, err := st.Get(ctx, id.Key())
	if resource.KindOf(err) == resource.NotFound {
		return gone("The identity of '" + id.String() + "'")
	}
	if err != nil {
		return err
	}
	var now struct {
		Identity   *arm.Identity         `json:"identity"`
		Properties arm.UserAssignedEntry `json:"properties"`
	}
	if err := json.Unmarshal(doc.Body, &now); err != nil {
		return err
	}
	principal := now.Properties.PrincipalID
	if a.Owner != "" {
		if principal = ""; now.Identity.HasSystem() {
			principal = now.Identity.PrincipalID
		}
	}
	if principal != a.Principal {
		return gone("The identity of '" + id.String() + "'")
	}
	return nil
}
