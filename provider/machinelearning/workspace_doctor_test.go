package machinelearning_test

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
)

// found gives the findings of one kind.
func (w *world) found(who, id string) []answer {
	w.t.Helper()
	got := w.as(who, "POST", ws+"/doctor", nil)
	if got.Status != 200 {
		w.t.Fatalf("doctor: %d %s", got.Status, got.Raw)
	}
	var out []answer
	list, _ := got.get("value").([]any)
	for _, item := range list {
		if one := (answer{Body: item.(object)}); one.text("id") == id {
			out = append(out, one)
		}
	}
	return out
}

func (a answer) cures() []string {
	list, _ := a.get("cure").([]any)
	out := make([]string, len(list))
	for i, one := range list {
		out[i] = one.(string)
	}
	return out
}

// one is the only finding of a kind. It fails unless there is one, of this level and about this resource, whose words say all
// of the wants, and which tells why it matters.
func (w *world) one(id, level, what string, wants ...string) answer {
	w.t.Helper()
	all := w.found(w.owner, id)
	if len(all) != 1 {
		w.t.Fatalf("%d findings of the kind %s; want one. All: %s", len(all), id, w.do("POST", ws+"/doctor", nil).Raw)
	}
	f := all[0]
	if f.text("level") != level || !strings.EqualFold(f.text("what"), what) || f.text("why") == "" {
		w.t.Errorf("%s: %v; want the level %s, about %s", id, f.Body, level, what)
	}
	said := f.text("message") + f.text("why") + strings.Join(f.cures(), "\n")
	for _, want := range wants {
		if !strings.Contains(said, want) {
			w.t.Errorf("%s does not say %q: %v", id, want, f.Body)
		}
	}
	return f
}

// none fails when there are findings of a kind.
func (w *world) none(id string) {
	w.t.Helper()
	if all := w.found(w.owner, id); len(all) > 0 {
		w.t.Errorf("%s is found: %v", id, all[0].Body)
	}
}

// grantAsSaid makes the grants that a finding's commands would make.
func (w *world) grantAsSaid(f answer) {
	w.t.Helper()
	roles := map[string]string{"Contributor": access.RoleContributor, "AcrPull": access.RoleAcrPull, "Managed Identity Operator": roleOperator,
		"Storage Blob Data Contributor": access.RoleStorageBlobDataContributor, "AzureML Data Scientist": access.RoleMLDataScientist}
	for _, cure := range f.cures() {
		rest, ours := strings.CutPrefix(cure, "alvara role assignment create --assignee ")
		assignee, rest, _ := strings.Cut(rest, ` --role "`)
		role, scope, ok := strings.Cut(rest, `" --scope `)
		if !ours || !ok || roles[role] == "" {
			w.t.Fatalf("no grant: %s", cure)
		}
		w.grant(assignee, roles[role], scope)
	}
}

// BX-03, MI-03, MI-06: a workspace without a registry is told what is to come; a compute that is older than the registry may not
// pull, and one command cures it; the admin user that nothing needs is to be turned off.
func TestDoctorFindsTheOlderCompute(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	w.one("RegistryNotCreated", "info", ws, "admin user")
	cpu := w.must("PUT", ws+"/computes/cpu", clusterBody(system(), nil)).text("identity.principalId")
	w.none("ComputeCannotPull")
	w.must("PUT", registries+"byo", object{"properties": object{"adminUserEnabled": true}})
	w.must("PATCH", ws, object{"properties": object{"containerRegistry": registries + "byo"}})
	w.none("RegistryNotCreated")
	f := w.one("ComputeCannotPull", "error", ws+"/computes/cpu", cpu, "older than the registry", "alvara role assignment create --assignee "+cpu+` --role "AcrPull" --scope `+registries+"byo")
	if diagnosis := w.must("POST", ws+"/diagnose", object{}); !strings.Contains(diagnosis.Raw, "ComputeCannotPull") || diagnosis.count("value.containerRegistryResults") != 2 || !strings.Contains(diagnosis.Raw, `"level":"Error"`) {
		t.Errorf("the diagnosis: %s", diagnosis.Raw)
	}
	w.grantAsSaid(f)
	w.none("ComputeCannotPull")
	w.one("AdminUserEnabled", "warning", registries+"byo", "nothing in the workspace needs it", "alvara acr update -n byo -g rg --admin-enabled false")
	w.must("PATCH", registries+"byo", object{"properties": object{"adminUserEnabled": false}})
	w.none("AdminUserEnabled")
	if got := w.do("POST", ws+"/doctor", nil); got.count("value") != 0 {
		t.Errorf("a healthy workspace: %s", got.Raw)
	}
}

// MI-14: the admin user is told of as needed while something pulls with its password, and missed when it is off then.
func TestDoctorOnTheAdminUserThatIsNeeded(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	w.must("PUT", ws+"/computes/cpu", clusterBody(nil, nil))
	f := w.one("AdminUserDisabled", "error", registries+"byo", "the compute cpu, which has no identity", "alvara ml computetarget amlcompute identity assign --name cpu --identities '[system]' -w ws -g rg")
	if strings.Contains(strings.Join(f.cures(), ""), "--admin-enabled") {
		t.Errorf("a password is turned on where an identity does: %v", f.Body)
	}
	w.must("PATCH", registries+"byo", object{"properties": object{"adminUserEnabled": true}})
	w.none("AdminUserDisabled")
	w.none("AdminUserEnabled")
	w.one("AdminUserNeeded", "info", registries+"byo", "the compute cpu")
	// An identity cures both, and so it is the first thing to offer.
	w.one("ComputeWithoutIdentity", "info", ws+"/computes/cpu", "alvara ml computetarget amlcompute identity assign --name cpu --identities '[system]' -w ws -g rg")
	w.must("PATCH", ws+"/computes/cpu", object{"properties": object{}, "identity": system()})
	for _, id := range []string{"ComputeWithoutIdentity", "AdminUserNeeded", "ComputeCannotPull"} {
		w.none(id)
	}
	w.one("AdminUserEnabled", "warning", registries+"byo")
}

// A compute without an identity cannot pull an image from a private registry, and is a warning when an environment names one (MI-09).
// MI-10: a build on a base image that only the compute may pull is refused, and the doctor says so before.
// MI-11: what a connection to a registry needs, each missing piece by itself.
// MI-12: the same for the identity that an environment names.
// The user-assigned identity of a compute that was deleted, and one that was made anew under the same name.
func TestDoctorOnIdentitiesOfComputes(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	one, principal := w.identity("one")
	two, _ := w.identity("two")
	w.grant(principal, access.RoleAcrPull, registries+"byo")
	w.must("PUT", ws+"/computes/cpu", clusterBody(users("UserAssigned", one, two), nil))
	w.none("ComputeIdentityGone")
	w.one("ComputeCannotPull", "warning", ws+"/computes/cpu", two) // the first is the one that jobs run as
	assign := "alvara ml computetarget amlcompute identity assign --name cpu --identities "
	w.must("DELETE", two, nil)
	w.none("ComputeCannotPull")
	w.one("ComputeIdentityGone", "error", ws+"/computes/cpu", two, "alvara ml computetarget amlcompute identity remove --name cpu --identities "+two+" -w ws -g rg")
	w.must("PATCH", ws+"/computes/cpu", object{"properties": object{}, "identity": object{"type": "UserAssigned", "userAssignedIdentities": object{two: nil}}})
	w.none("ComputeIdentityGone")
	w.must("DELETE", one, nil)
	w.one("ComputeIdentityGone", "error", ws+"/computes/cpu", "only identity", assign+"'[system]' -w ws -g rg")
	w.identity("one")
	w.one("ComputeIdentityGone", "error", ws+"/computes/cpu", "made anew", assign+one+" -w ws -g rg")
	w.must("PATCH", ws+"/computes/cpu", object{"properties": object{}, "identity": users("UserAssigned", one)})
	w.none("ComputeIdentityGone")
	w.one("ComputeCannotPull", "error", ws+"/computes/cpu", one)
}

// MI-15: the roles of the identity that a workspace works as, also of a user-assigned one.
// BX-01: keys that somebody turned on; containers and accounts that datastores name and that are gone.
// What runs jobs and holds the group, and roles of those who are gone.
func TestDoctorOnGrants(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	cpu := w.must("PUT", ws+"/computes/cpu", clusterBody(system(), nil)).text("identity.principalId")
	w.grant(cpu, access.RoleContributor, ws+"/computes/cpu") // of itself alone
	w.none("GrantTooBroad")
	broad := w.grant(cpu, access.RoleOwner, subscription)
	f := w.one("GrantTooBroad", "warning", ws+"/computes/cpu", "holds Owner on "+subscription, "alvara role assignment delete --ids "+broad)
	if f.get("manual") != true {
		t.Errorf("a grant is taken away by itself: %v", f.Body)
	}
	w.must("DELETE", broad, nil)
	w.none("GrantTooBroad")
	team, err := w.directory.CreateGroup(t.Context(), "team", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.directory.AddMember(t.Context(), team.ID, cpu); err != nil {
		t.Fatal(err)
	}
	broad = w.grant(team.ID, access.RoleContributor, group)
	w.one("GrantTooBroad", "warning", ws+"/computes/cpu", "as a member of the group "+team.ID)
	w.must("DELETE", broad, nil)
	w.none("GrantTooBroad")

	somebody := w.person("somebody")
	orphan := w.grant(somebody, access.RoleReader, ws)
	w.none("GrantOfNobody")
	if err := w.directory.DeleteUser(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	w.one("GrantOfNobody", "info", ws, somebody, "Reader", "alvara role assignment delete --ids "+orphan)
	w.must("DELETE", orphan, nil)
	w.none("GrantOfNobody")
}

// What the caller may not read is said as such, and nothing of it is told.
func TestDoctorTellsNoMoreThanTheCallerMayRead(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", registries+"byo", object{"properties": object{"adminUserEnabled": true}})
	account := w.must("PUT", ws, object{"properties": object{"containerRegistry": registries + "byo"}}).text("properties.storageAccount")
	w.must("PUT", ws+"/computes/cpu", clusterBody(users("UserAssigned", first(w.identity("one"))), nil))
	who := w.person("reader")
	w.grant(who, w.role("Diagnoses", "Microsoft.MachineLearningServices/workspaces/diagnose/read", "Microsoft.MachineLearningServices/workspaces/read"), ws)
	hidden := map[string]answer{}
	for _, f := range w.found(who, "NotReadable") {
		hidden[strings.ToLower(f.text("what"))] = f
	}
	for _, id := range []string{registries + "byo", account, ws + "/computes/cpu", ws + "/datastores/workspaceblobstore"} {
		f, said := hidden[strings.ToLower(id)]
		if !said {
			t.Errorf("nothing is said of %s: %v", id, hidden)
			continue
		}
		if f.text("level") != "warning" || f.get("manual") != true || !strings.Contains(strings.Join(f.cures(), ""), "--assignee "+who+" --role Reader --scope ") {
			t.Errorf("%s: %v", id, f.Body)
		}
	}
	for _, id := range []string{"AdminUserEnabled", "AdminUserNeeded", "ComputeCannotPull"} {
		if all := w.found(who, id); len(all) > 0 {
			t.Errorf("%s is told to who may not read it: %v", id, all[0].Body)
		}
	}
	w.grant(who, access.RoleReader, group)
	if all := w.found(who, "NotReadable"); len(all) > 0 {
		t.Errorf("a reader of all: %v", all[0].Body)
	}
	if len(w.found(who, "AdminUserEnabled")) != 1 || len(w.found(who, "ComputeCannotPull")) != 1 {
		t.Error("a reader is not told what is wrong")
	}
	refused(t, "a stranger", w.as(w.person("stranger"), "POST", ws+"/doctor", nil), 403, "AuthorizationFailed", "workspaces/diagnose/read")
}

func first(a, _ string) string { return a }

// FS-08: the materialization identity of a feature store, and what it lacks.
