package acceptance

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/alvara-ml/alvara/access"
)

// BX-08: resource groups over their life, the last part as a long-running operation that the SDK polls.
func TestSDKResourceGroups(t *testing.T) {
	a := newAzure(t)
	ctx, groups, nobody := t.Context(), a.owner.resources().NewResourceGroupsClient(), a.principal("nobody")
	made := done(groups.CreateOrUpdate(ctx, "Data", armresources.ResourceGroup{Location: ptr("Local"), Tags: map[string]*string{"team": ptr("fraud")}}, nil))(t)
	if *made.ID != a.env.Group("Data") || *made.Type != "Microsoft.Resources/resourceGroups" || *made.Location != "local" || *made.Properties.ProvisioningState != "Succeeded" {
		t.Fatalf("the group is %s %s in %s: %s", *made.ID, *made.Type, *made.Location, *made.Properties.ProvisioningState)
	}
	a.group("other")
	if got := done(groups.Get(ctx, "DATA", nil))(t); *got.Name != "Data" {
		t.Fatalf("the name in another case gives %s", *got.Name)
	}
	if got := done(groups.Update(ctx, "data", armresources.ResourceGroupPatchable{Tags: map[string]*string{"team": ptr("risk")}}, nil))(t); *got.Tags["team"] != "risk" {
		t.Fatalf("the tags are %v", got.Tags)
	}
	list := func(options *armresources.ResourceGroupsClientListOptions) string {
		found := paged(t, groups.NewListPager(options), func(p armresources.ResourceGroupsClientListResponse) []*armresources.ResourceGroup { return p.Value })
		return names(found, func(g *armresources.ResourceGroup) *string { return g.Name })
	}
	if got := list(nil); got != "Data other" {
		t.Fatalf("listed %q", got)
	}
	if got := list(&armresources.ResourceGroupsClientListOptions{Top: ptr(int32(1))}); got != "Data other" {
		t.Fatalf("listed by pages of one: %q", got)
	}
	if got := list(&armresources.ResourceGroupsClientListOptions{Filter: ptr("tagName eq 'team' and tagValue eq 'risk'")}); got != "Data" {
		t.Fatalf("listed by tag: %q", got)
	}
	if got := done(groups.CheckExistence(ctx, "data", nil))(t); !got.Success {
		t.Fatal("the group is said not to exist")
	}
	if got := done(groups.CheckExistence(ctx, "absent", nil))(t); got.Success {
		t.Fatal("an absent group is said to exist")
	}

	_, err := nobody.resources().NewResourceGroupsClient().Get(ctx, "Data", nil)
	forbidden(t, "nobody reading", err, "Microsoft.Resources/subscriptions/resourceGroups/read")
	_, err = nobody.resources().NewResourceGroupsClient().BeginDelete(ctx, "Data", nil)
	forbidden(t, "nobody deleting", err, "Microsoft.Resources/subscriptions/resourceGroups/delete")
	_, err = groups.Get(ctx, "absent", nil)
	refused(t, "an absent group", err, 404, "ResourceGroupNotFound")
	_, err = groups.CreateOrUpdate(ctx, "new", armresources.ResourceGroup{}, nil)
	refused(t, "a group without a location", err, 400, "LocationRequired")

	a.account("data", "accountindata", "box")
	polled(groups.BeginDelete(ctx, "data", nil))(t)
	_, err = groups.Get(ctx, "data", nil)
	refused(t, "a deleted group", err, 404, "ResourceGroupNotFound")
	_, err = a.owner.storage().NewAccountsClient().GetProperties(ctx, "data", "accountindata", nil)
	refused(t, "an account in a deleted group", err, 404, "ResourceNotFound")
	if got := list(nil); got != "other" {
		t.Fatalf("after the deletion: %q", got)
	}
}

// BX-08: generic resources, and the list of all that a caller may see, by filter.
func TestSDKGenericResources(t *testing.T) {
	a := newAzure(t)
	a.group("one")
	a.group("two")
	ctx, all := t.Context(), a.owner.resources().NewClient()
	a.account("one", "accountone", "box")
	id := a.env.Group("two") + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/worker"
	made := polled(all.BeginCreateOrUpdateByID(ctx, id, "2023-01-31", armresources.GenericResource{Location: ptr("local"), Tags: map[string]*string{"env": ptr("test")}}, nil))(t)
	if *made.ID != id || made.Properties.(map[string]any)["principalId"] == "" {
		t.Fatalf("made %v", made.GenericResource)
	}
	list := func(c *client, filter string) string {
		options := &armresources.ClientListOptions{}
		if filter != "" {
			options.Filter = &filter
		}
		found := paged(t, c.resources().NewClient().NewListPager(options), func(p armresources.ClientListResponse) []*armresources.GenericResourceExpanded { return p.Value })
		return names(found, func(r *armresources.GenericResourceExpanded) *string { return r.Name })
	}
	reader := a.principal("reader")
	a.admin.Grant(reader.user.ObjectID, access.RoleReader, a.env.Group("two"))
	for _, c := range []struct {
		who          *client
		filter, want string
	}{
		{a.owner, "resourceType eq 'microsoft.storage/STORAGEACCOUNTS'", "accountone"},
		{a.owner, "resourceGroup eq 'two'", "worker"},
		{a.owner, "substringof('ork', name)", "worker"},
		{a.owner, "tagName eq 'env' and tagValue eq 'test'", "worker"},
		{a.owner, "name eq 'absent'", ""},
		{reader, "", "worker"},
	} {
		if got := list(c.who, c.filter); got != c.want {
			t.Errorf("%s lists %q with %q, want %q", c.who.user.Name, got, c.filter, c.want)
		}
	}
	_, err := pages(ctx, all.NewListPager(&armresources.ClientListOptions{Filter: ptr("colour eq 'red'")}), func(p armresources.ClientListResponse) []*armresources.GenericResourceExpanded { return p.Value })
	refused(t, "a filter that is not understood", err, 400, "InvalidFilterInQueryString")
	inGroup := paged(t, all.NewListByResourceGroupPager("one", nil), func(p armresources.ClientListByResourceGroupResponse) []*armresources.GenericResourceExpanded {
		return p.Value
	})
	if got := names(inGroup, func(r *armresources.GenericResourceExpanded) *string { return r.Name }); got != "accountone" {
		t.Errorf("the group one holds %q", got)
	}
	if got := done(all.CheckExistenceByID(ctx, id, "2023-01-31", nil))(t); !got.Success {
		t.Error("the identity is said not to exist")
	}
	_, err = reader.resources().NewClient().BeginDeleteByID(ctx, id, "2023-01-31", nil)
	forbidden(t, "a Reader deleting", err, "Microsoft.ManagedIdentity/userAssignedIdentities/delete")
	polled(all.BeginDeleteByID(ctx, id, "2023-01-31", nil))(t)
	_, err = all.GetByID(ctx, id, "2023-01-31", nil)
	refused(t, "a deleted identity", err, 404, "ResourceNotFound")
	_, err = all.GetByID(ctx, a.env.Group("two")+"/providers/Microsoft.Nothing/things/x", "2023-01-31", nil)
	refused(t, "a type that is not there", err, 404, "InvalidResourceType")
}

// BX-08: providers with the types and versions that clients choose from.
func TestSDKProviders(t *testing.T) {
	a := newAzure(t)
	providers := a.owner.resources().NewProvidersClient()
	seen := map[string]bool{}
	for _, p := range paged(t, providers.NewListPager(nil), func(p armresources.ProvidersClientListResponse) []*armresources.Provider { return p.Value }) {
		seen[*p.Namespace] = *p.RegistrationState == "Registered"
	}
	for _, namespace := range []string{"Microsoft.Authorization", "Microsoft.ManagedIdentity", "Microsoft.Storage", "Microsoft.MachineLearningServices"} {
		if !seen[namespace] {
			t.Errorf("%s is not registered", namespace)
		}
	}
	got := done(providers.Get(t.Context(), "microsoft.machinelearningservices", nil))(t)
	types := map[string]int{}
	for _, rt := range got.ResourceTypes {
		types[*rt.ResourceType] = len(rt.APIVersions)
	}
	if types["workspaces"] == 0 || types["workspaces/featuresets/versions"] == 0 {
		t.Errorf("the types are %v", types)
	}
	done(providers.Register(t.Context(), "Microsoft.Storage", nil))(t)
	_, err := providers.Get(t.Context(), "Microsoft.Nothing", nil)
	refused(t, "an unknown namespace", err, 404, "InvalidResourceNamespace")
}

// FS-02, BX-08: user-assigned identities and the federated credentials by which others vouch for them.
func TestSDKManagedIdentities(t *testing.T) {
	a := newAzure(t)
	a.group("rg")
	ctx := t.Context()
	identities, federated := a.owner.identities().NewUserAssignedIdentitiesClient(), a.owner.identities().NewFederatedIdentityCredentialsClient()
	made := done(identities.CreateOrUpdate(ctx, "rg", "worker", armmsi.Identity{Location: ptr("local")}, nil))(t)
	if *made.Properties.TenantID != a.env.Server.Endpoints.Tenant || *made.Properties.PrincipalID == "" || *made.Properties.ClientID == *made.Properties.PrincipalID {
		t.Fatalf("made %+v", *made.Properties)
	}
	again := done(identities.CreateOrUpdate(ctx, "rg", "worker", armmsi.Identity{Location: ptr("local"), Tags: map[string]*string{"a": ptr("b")}}, nil))(t)
	if *again.Properties.PrincipalID != *made.Properties.PrincipalID {
		t.Fatal("an update made another principal")
	}
	if got := done(identities.Update(ctx, "rg", "worker", armmsi.IdentityUpdate{Tags: map[string]*string{"c": ptr("d")}}, nil))(t); *got.Tags["c"] != "d" {
		t.Fatalf("the tags are %v", got.Tags)
	}
	byGroup := paged(t, identities.NewListByResourceGroupPager("rg", nil), func(p armmsi.UserAssignedIdentitiesClientListByResourceGroupResponse) []*armmsi.Identity {
		return p.Value
	})
	bySubscription := paged(t, identities.NewListBySubscriptionPager(nil), func(p armmsi.UserAssignedIdentitiesClientListBySubscriptionResponse) []*armmsi.Identity {
		return p.Value
	})
	if len(byGroup) != 1 || len(bySubscription) != 1 || *byGroup[0].Name != "worker" {
		t.Fatalf("listed %d and %d", len(byGroup), len(bySubscription))
	}
	body := func(subject string) armmsi.FederatedIdentityCredential {
		return armmsi.FederatedIdentityCredential{Properties: &armmsi.FederatedIdentityCredentialProperties{
			Issuer: ptr("https://issuer.example"), Subject: &subject, Audiences: []*string{ptr("api://AzureADTokenExchange")},
		}}
	}
	vouched := done(federated.CreateOrUpdate(ctx, "rg", "worker", "cluster", body("system:serviceaccount:ns:sa"), nil))(t)
	if *vouched.Properties.Subject != "system:serviceaccount:ns:sa" || *vouched.Name != "cluster" {
		t.Fatalf("vouched %+v", *vouched.Properties)
	}
	_, err := federated.CreateOrUpdate(ctx, "rg", "worker", "twice", body("system:serviceaccount:ns:sa"), nil)
	refused(t, "the same issuer and subject twice", err, 409, "FederatedIdentityCredentialExists")
	_, err = federated.CreateOrUpdate(ctx, "rg", "absent", "cluster", body("x"), nil)
	refused(t, "a credential of no identity", err, 404, "ParentResourceNotFound")
	done(federated.Get(ctx, "rg", "worker", "cluster", nil))(t)
	listed := paged(t, federated.NewListPager("rg", "worker", nil), func(p armmsi.FederatedIdentityCredentialsClientListResponse) []*armmsi.FederatedIdentityCredential {
		return p.Value
	})
	if len(listed) != 1 {
		t.Fatalf("listed %d credentials", len(listed))
	}
	contributor := a.principal("contributor")
	a.admin.Grant(contributor.user.ObjectID, access.RoleReader, a.env.Group("rg"))
	_, err = contributor.identities().NewFederatedIdentityCredentialsClient().CreateOrUpdate(ctx, "rg", "worker", "mine", body("me"), nil)
	forbidden(t, "a Reader vouching", err, "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write")
	done(federated.Delete(ctx, "rg", "worker", "cluster", nil))(t)
	_, err = federated.Get(ctx, "rg", "worker", "cluster", nil)
	refused(t, "a deleted credential", err, 404, "ResourceNotFound")
	done(identities.Delete(ctx, "rg", "worker", nil))(t)
	done(identities.Delete(ctx, "rg", "worker", nil))(t) // deleting again is no error
	_, err = identities.Get(ctx, "rg", "worker", nil)
	refused(t, "a deleted identity", err, 404, "ResourceNotFound")
	anew := done(identities.CreateOrUpdate(ctx, "rg", "worker", armmsi.Identity{Location: ptr("local")}, nil))(t)
	if *anew.Properties.PrincipalID == *made.Properties.PrincipalID {
		t.Fatal("an identity made anew is the principal that was deleted")
	}
}
