package machinelearning

import (
	"maps"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// The types of a job's identity.
const (
	managedIdentity = "Managed"
	userIdentity    = "UserIdentity"
	amlToken        = "AMLToken"
)

// actor is as whom a job runs. The zero one is nobody.
type actor struct {
	who      identity.Principal
	tokens   []string // object ids, the default one first
	clientID string   // of the default one; "" for a person
}

func (a actor) nobody() bool { return a.who.ID == "" }

// computeIdentity is one identity of a compute.
type computeIdentity struct {
	resourceID string // of the user-assigned identity; the compute's own for the system-assigned one
	clientID   string
	principal  string
}

// identitiesOf are the identities of a compute, the default one first: the system-assigned one, or else the user-assigned ones in the order
// of their ids.
func identitiesOf(call *arm.Call, compute *arm.Resource[Compute]) []computeIdentity {
	held := compute.Identity
	if held == nil {
		return nil
	}
	var out []computeIdentity
	if held.HasSystem() {
		who, _ := call.Manager.Identities.Lookup(held.PrincipalID)
		out = append(out, computeIdentity{compute.ID.String(), who.ClientID, held.PrincipalID})
	}
	for _, id := range slices.Sorted(maps.Keys(held.UserAssigned)) {
		entry := held.UserAssigned[id]
		out = append(out, computeIdentity{id, entry.ClientID, entry.PrincipalID})
	}
	return out
}

// actorOf decides as whom a job on a compute runs, and completes what was asked for. Without a wish it is the compute's identity, and
// nobody where the compute has none.
func actorOf(call *arm.Call, compute *arm.Resource[Compute], asked *JobIdentity, submitter identity.Principal) (*JobIdentity, actor, error) {
	const field = "properties.identity"
	have := identitiesOf(call, compute)
	if asked == nil || asked.IdentityType == "" {
		if asked != nil && (asked.ClientID != "" || asked.ObjectID != "" || asked.ResourceID != "") {
			return nil, actor{}, resource.Invalidf("InvalidIdentity", "%s.identityType is missing; with clientId, objectId or resourceId it is %s", field, managedIdentity).At(field + ".identityType")
		}
		if asked = (&JobIdentity{IdentityType: amlToken}); len(have) > 0 {
			asked.IdentityType = managedIdentity
		}
	}
	named := asked.ClientID != "" || asked.ObjectID != "" || asked.ResourceID != ""
	switch {
	case strings.EqualFold(asked.IdentityType, managedIdentity):
		return managedActor(call, compute, have, *asked)
	case named:
		return nil, actor{}, resource.Invalidf("InvalidIdentity", "%s.identityType is %q and names an identity by an id; that goes with %s alone", field, asked.IdentityType, managedIdentity).At(field)
	case strings.EqualFold(asked.IdentityType, userIdentity):
		return &JobIdentity{IdentityType: userIdentity}, actor{who: submitter, tokens: []string{submitter.ID}, clientID: submitter.ClientID}, nil
	case strings.EqualFold(asked.IdentityType, amlToken):
		return &JobIdentity{IdentityType: amlToken}, actor{}, nil
	}
	return nil, actor{}, resource.Invalidf("InvalidIdentity", "%s.identityType is %q; %s, %s or %s was expected", field, asked.IdentityType, managedIdentity, userIdentity, amlToken).At(field + ".identityType")
}

// managedActor picks one of a compute's identities.
func managedActor(call *arm.Call, compute *arm.Resource[Compute], have []computeIdentity, asked JobIdentity) (*JobIdentity, actor, error) {
	const field = "properties.identity"
	if len(have) == 0 {
		return nil, actor{}, resource.Invalidf("ComputeIdentityMissing", "%s.identityType is %s and the compute %s has no identity to run as. Give it one with: %s — or run the job as its submitter with the identityType %s.",
			field, managedIdentity, compute.Name, giveIdentity(compute), userIdentity).At(field)
	}
	picked := have
	for _, by := range []struct {
		name, value string
		of          func(computeIdentity) string
	}{
		{"clientId", asked.ClientID, func(c computeIdentity) string { return c.clientID }},
		{"objectId", asked.ObjectID, func(c computeIdentity) string { return c.principal }},
		{"resourceId", asked.ResourceID, func(c computeIdentity) string { return c.resourceID }},
	} {
		if by.value == "" {
			continue
		}
		matching := slices.DeleteFunc(slices.Clone(picked), func(c computeIdentity) bool { return !strings.EqualFold(by.of(c), by.value) })
		if len(matching) == 0 {
			var known []string
			for _, c := range have {
				known = append(known, by.of(c))
			}
			return nil, actor{}, resource.Invalidf("IdentityNotOfCompute", "%s.%s is %q, and no identity of the compute %s that fits has it; the compute's are %s. Name one of them, or assign another with: %s",
				field, by.name, by.value, compute.Name, strings.Join(known, ", "), giveIdentity(compute)).At(field + "." + by.name)
		}
		picked = matching
	}
	who, known := call.Manager.Identities.Lookup(picked[0].principal)
	if !known {
		return nil, actor{}, resource.Invalidf("IdentityNotFound", "The identity '%s' of the compute %s is not in the directory any more; take it off the compute and assign another with: %s", picked[0].resourceID, compute.Name, giveIdentity(compute)).At(field)
	}
	act := actor{who: who, clientID: picked[0].clientID}
	for _, c := range picked { // all of them, when none was picked
		act.tokens = append(act.tokens, c.principal)
	}
	asked.IdentityType = managedIdentity
	return &asked, act, nil
}

// giveIdentity is the command that gives a compute an identity.
func giveIdentity(compute *arm.Resource[Compute]) string {
	workspace := compute.ID.Parent()
	at := compute.Name + " -w " + workspace.Name() + " -g " + workspace.ResourceGroup()
	if compute.Properties.ComputeType == "AmlCompute" {
		return "alvara ml computetarget amlcompute identity assign --name " + at + " --identities '[system]'"
	}
	return "alvara ml compute update -n " + at + " --identity-type SystemAssigned"
}
