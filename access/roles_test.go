package access_test

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/resource"
)

// FS-05, FS-07, FS-09: what the built-in data scientist may do in a store, with each of its NotActions.
func TestDataScientist(t *testing.T) {
	s := given(access.RoleMLDataScientist, store).Snapshot()
	expect(t, s, true, false, store,
		ml+"read", ml+"featurestores/read", ml+"featuresets/read", ml+"featuresets/write", ml+"featuresets/delete", ml+"featuresets/action",
		ml+"featurestoreentities/read", ml+"featurestoreentities/write", ml+"featurestoreentities/delete", ml+"featurestoreentities/action",
		ml+"datastores/listsecrets/action", ml+"datastores/listSecrets/action", ml+"jobs/read", ml+"jobs/write", ml+"computes/read", ml+"computes/start/action")
	expect(t, s, false, false, store,
		ml+"write", ml+"delete", ml+"computes/write", ml+"computes/delete", ml+"computes/listKeys/action", ml+"listKeys/action",
		ml+"hubs/write", ml+"hubs/delete", ml+"featurestores/write", ml+"featurestores/delete",
		"Microsoft.Authorization/roleAssignments/write", "Microsoft.Storage/storageAccounts/read")
	expect(t, s, false, true, store, ml+"featuresets/read", blobs+"read")
}

// MI-18: Managed Identity Operator assigns an identity and does not change it.
func TestManagedIdentityOperator(t *testing.T) {
	identity := rg1.Child("Microsoft.ManagedIdentity/userAssignedIdentities", "uami")
	const prefix = "Microsoft.ManagedIdentity/userAssignedIdentities/"
	s := given(access.RoleManagedIdentityOperator, identity).Snapshot()
	expect(t, s, true, false, identity, prefix+"assign/action", prefix+"read", prefix+"federatedIdentityCredentials/read")
	expect(t, s, false, false, identity, prefix+"write", prefix+"delete", prefix+"federatedIdentityCredentials/write")
	contributor := given(access.RoleManagedIdentityContributor, identity).Snapshot()
	expect(t, contributor, true, false, identity, prefix+"write", prefix+"read")
	expect(t, contributor, false, false, identity, prefix+"assign/action")
}

// FS-03: Contributor and User Access Administrator together administer a store; neither does alone.
func TestStoreAdministrator(t *testing.T) {
	needed := []string{ml + "featurestores/write", "Microsoft.Authorization/roleAssignments/write", "Microsoft.Storage/storageAccounts/write"}
	both := func(roles ...string) (allowed int) {
		live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
		for i, role := range roles {
			live.Apply(put(i, userID, role, rg1))
		}
		for _, action := range needed {
			if can(live.Snapshot(), action, false, rg1) {
				allowed++
			}
		}
		return allowed
	}
	if got := both(access.RoleContributor, access.RoleUserAccessAdministrator); got != len(needed) {
		t.Errorf("both roles allow %d of %d", got, len(needed))
	}
	if got := both(access.RoleContributor); got != 2 {
		t.Errorf("Contributor alone allows %d of %d, want 2", got, len(needed))
	}
	if got := both(access.RoleUserAccessAdministrator); got != 1 {
		t.Errorf("User Access Administrator alone allows %d of %d, want 1", got, len(needed))
	}
}

// FS-06: the consumer by five individual actions discovers and retrieves, and writes nothing.
func TestConsumerByIndividualActions(t *testing.T) {
	consumer := &access.Role{ID: "66666666-0000-0000-0000-000000000006", Name: "consumer", AssignableScopes: []resource.ID{rg1},
		Permissions: []access.Permission{{Actions: []string{ml + "featurestores/read", ml + "featuresets/read",
			ml + "featurestoreentities/read", ml + "datastores/listSecrets/action", ml + "jobs/read"}}}}
	if err := access.ValidateRole(*consumer); err != nil {
		t.Fatal(err)
	}
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	s := live.Apply(access.PutRole{Role: consumer}, put(1, userID, consumer.ID, store))
	if granted := s.OperationsOf(consumer.ID); len(granted) != 5 {
		t.Errorf("the role grants %d operations, want 5: %v", len(granted), granted)
	}
	for _, operation := range s.Operations() {
		if !strings.HasSuffix(operation.Name, "/read") && can(s, operation.Name, operation.Data, featureSet) != strings.EqualFold(operation.Name, ml+"datastores/listSecrets/action") {
			t.Errorf("the consumer may %s", operation.Name)
		}
	}
}

// MI-08: roles are found by id or by name, ignoring case and spaces.
func TestRolesByName(t *testing.T) {
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	s := live.Snapshot()
	for name, id := range map[string]string{
		"acrpull": access.RoleAcrPull, "AcrPull": access.RoleAcrPull, "Acr Pull": access.RoleAcrPull,
		"managedidentityoperator": access.RoleManagedIdentityOperator, "Managed Identity Operator": access.RoleManagedIdentityOperator,
		" azureml  DATA scientist ": access.RoleMLDataScientist, "owner": access.RoleOwner,
	} {
		if role := s.RoleByName(name); role == nil || role.ID != id {
			t.Errorf("RoleByName(%q) = %v, want %s", name, role, id)
		}
	}
	if s.RoleByName("acrpul") != nil || s.RoleByName("") != nil {
		t.Error("a name that nobody has finds a role")
	}
	if role := s.Role(strings.ToUpper(access.RoleReader)); role == nil || role.Name != "Reader" {
		t.Errorf("Role by id in upper case = %v", role)
	}
	custom := func(id, name string) access.PutRole { return access.PutRole{Role: &access.Role{ID: id, Name: name}} }
	s = live.Apply(custom("77777777-0000-0000-0000-000000000001", "Acr Pull"), custom("77777777-0000-0000-0000-000000000002", "A B"),
		custom("77777777-0000-0000-0000-000000000003", "AB "))
	if role := s.RoleByName("acr pull"); role == nil || role.Name != "Acr Pull" {
		t.Errorf("the exact name does not go first: %v", role)
	}
	if role := s.RoleByName("acrpull"); role == nil || role.ID != access.RoleAcrPull {
		t.Errorf("the exact name does not go first: %v", role)
	}
	if role := s.RoleByName("ab"); role != nil {
		t.Errorf("of two roles that answer alike %s was taken", role.ID)
	}
	if got := len(s.RolesNamed("ab")); got != 2 {
		t.Errorf("RolesNamed finds %d, want 2", got)
	}
}

func TestSmallestRoles(t *testing.T) {
	s := access.NewLive(access.Catalogue(), access.BuiltIn()...).Snapshot()
	for _, c := range []struct {
		action string
		data   bool
		first  string
		holds  []string // in this order among the others
	}{
		{blobs + "read", true, "Storage Blob Data Reader", []string{"Storage Blob Data Reader", "Storage Blob Data Contributor", "Storage Blob Data Owner"}},
		{"Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", false, "Managed Identity Operator", []string{"Managed Identity Operator", "Contributor", "Owner"}},
		{"Microsoft.ContainerRegistry/registries/pull/read", false, "AcrPull", []string{"AcrPull", "AcrPush", "Reader", "Owner"}},
		{ml + "featuresets/write", false, "AzureML Data Scientist", []string{"AzureML Data Scientist", "Contributor", "Owner"}},
	} {
		roles := s.SmallestRoles(c.action, c.data)
		if len(roles) == 0 || roles[0].Name != c.first {
			t.Errorf("the smallest role for %s is not %s: %v", c.action, c.first, names(roles))
			continue
		}
		at := 0
		for _, role := range roles {
			if at < len(c.holds) && role.Name == c.holds[at] {
				at++
			}
		}
		if at != len(c.holds) {
			t.Errorf("%s: %v does not hold %v in this order", c.action, names(roles), c.holds)
		}
	}
}

func names(roles []*access.Role) (names []string) {
	for _, role := range roles {
		names = append(names, role.Name)
	}
	return names
}

func TestBuiltInRoles(t *testing.T) {
	roles := access.BuiltIn()
	if len(roles) < 100 {
		t.Fatalf("%d roles", len(roles))
	}
	ids, byName := map[string]bool{}, map[string]string{}
	for _, role := range roles {
		if err := access.ValidateRole(*role); err != nil {
			t.Errorf("%s: %v", role.Name, err)
		}
		if ids[role.ID] || byName[role.Name] != "" || !role.BuiltIn || !role.AssignableAt(store) {
			t.Errorf("%s is there twice or is not assignable everywhere", role.Name)
		}
		ids[role.ID], byName[role.Name] = true, role.ID
	}
	for name, id := range map[string]string{
		"Owner": access.RoleOwner, "Contributor": access.RoleContributor, "Reader": access.RoleReader,
		"User Access Administrator":     access.RoleUserAccessAdministrator,
		"Managed Identity Operator":     access.RoleManagedIdentityOperator,
		"Managed Identity Contributor":  access.RoleManagedIdentityContributor,
		"AzureML Data Scientist":        access.RoleMLDataScientist,
		"Storage Blob Data Owner":       access.RoleStorageBlobDataOwner,
		"Storage Blob Data Contributor": access.RoleStorageBlobDataContributor,
		"Storage Blob Data Reader":      access.RoleStorageBlobDataReader,
		"Storage Blob Delegator":        access.RoleStorageBlobDelegator,
		"Storage Account Contributor":   access.RoleStorageAccountContributor,
		"AcrPull":                       access.RoleAcrPull, "AcrPush": access.RoleAcrPush,
	} {
		if byName[name] != id {
			t.Errorf("the id of %s is %s, not %s", name, byName[name], id)
		}
	}
}

// Every concrete action that a built-in role names in a namespace of the catalogue is in the catalogue, so that "which
// role is smallest" counts it.
func TestCatalogue(t *testing.T) {
	type key struct {
		name string
		data bool
	}
	known, providers := map[key]bool{}, map[string]bool{}
	for _, operation := range access.Catalogue() {
		k := key{strings.ToLower(operation.Name), operation.Data}
		if known[k] {
			t.Errorf("%s is there twice", operation.Name)
		}
		if !naiveConcrete(operation.Name) || operation.Description == "" || strings.HasSuffix(operation.Description, " ") {
			t.Errorf("%+v is malformed", operation)
		}
		known[k] = true
		providers[strings.ToLower(operation.Provider())] = true
	}
	for _, want := range []string{"microsoft.authorization", "microsoft.resources", "microsoft.managedidentity", "microsoft.storage",
		"microsoft.keyvault", "microsoft.containerregistry", "microsoft.insights", "microsoft.operationalinsights", "microsoft.machinelearningservices"} {
		if !providers[want] {
			t.Errorf("no operation of %s", want)
		}
	}
	check := func(role string, actions []string, data bool) {
		for _, action := range actions {
			provider, _, _ := strings.Cut(strings.ToLower(action), "/")
			if providers[provider] && !strings.Contains(action, "*") && !known[key{strings.ToLower(action), data}] {
				t.Errorf("%s names %s, which the catalogue lacks", role, action)
			}
		}
	}
	for _, role := range access.BuiltIn() {
		for _, p := range role.Permissions {
			check(role.Name, p.Actions, false)
			check(role.Name, p.NotActions, false)
			check(role.Name, p.DataActions, true)
			check(role.Name, p.NotDataActions, true)
		}
	}
	// FS-09: the eleven actions of the feature store, and the two that go with them.
	for _, action := range strings.Fields("featurestores/read featurestores/write featurestores/delete featuresets/read featuresets/write " +
		"featuresets/delete featuresets/action featurestoreentities/read featurestoreentities/write featurestoreentities/delete " +
		"featurestoreentities/action datastores/listsecrets/action jobs/read") {
		if !known[key{strings.ToLower(ml + action), false}] {
			t.Errorf("the catalogue lacks %s", action)
		}
	}
}
