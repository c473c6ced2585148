package identity

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/mem"
	"pgregory.net/rapid"
)

func openTestDirectory(t testing.TB) (*Directory, *mem.Store) {
	t.Helper()
	st := mem.New()
	d, err := OpenDirectory(st, testTenant, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d, st
}

func wantKind(t testing.TB, err error, kind resource.Kind) {
	t.Helper()
	if err == nil || resource.KindOf(err) != kind {
		t.Fatalf("the error is %v (kind %d); want kind %d", err, resource.KindOf(err), kind)
	}
	if _, ok := resource.AsError(err); !ok {
		t.Fatalf("%v is no resource.Error", err)
	}
}

func TestUsersAreUniqueByNameInAnyCase(t *testing.T) {
	d, st := openTestDirectory(t)
	ctx := context.Background()
	ann, err := d.CreateUser(ctx, NewUser{UserPrincipalName: "Ann@alvara.test", DisplayName: "Ann"})
	if err != nil {
		t.Fatal(err)
	}
	if ann.MailNickname != "Ann" || !ann.AccountEnabled || ann.PasswordHash != "" {
		t.Fatalf("the user is %+v", ann)
	}
	_, err = d.CreateUser(ctx, NewUser{UserPrincipalName: "ann@ALVARA.test", DisplayName: "Another"})
	wantKind(t, err, resource.Conflict)
	for _, upn := range []string{"", "ann", "@x", "a@", "a b@x", "a@b@c", "a/b@c"} {
		_, err := d.CreateUser(ctx, NewUser{UserPrincipalName: upn, DisplayName: "X"})
		wantKind(t, err, resource.Invalid)
	}
	_, err = d.CreateUser(ctx, NewUser{UserPrincipalName: "bob@alvara.test", DisplayName: " "})
	wantKind(t, err, resource.Invalid)
	_, err = d.CreateUser(ctx, NewUser{UserPrincipalName: "bob@alvara.test", DisplayName: "Bob", Password: "short"})
	wantKind(t, err, resource.Invalid)

	if found, ok := d.User("ANN@alvara.test"); !ok || found.ID != ann.ID {
		t.Fatalf("by name: %+v, %v", found, ok)
	}
	bob, err := d.CreateUser(ctx, NewUser{UserPrincipalName: "bob@alvara.test", DisplayName: "Bob"})
	if err != nil {
		t.Fatal(err)
	}
	taken, free := "ANN@alvara.test", "robert@alvara.test"
	_, err = d.UpdateUser(ctx, bob.ID, UserUpdate{UserPrincipalName: &taken})
	wantKind(t, err, resource.Conflict)
	if _, err := d.UpdateUser(ctx, "bob@alvara.test", UserUpdate{UserPrincipalName: &free}); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.User("bob@alvara.test"); ok {
		t.Fatal("the old name still finds the user")
	}
	if p, ok := d.FindByUPN("Robert@alvara.test"); !ok || p.ID != bob.ID {
		t.Fatalf("the new name finds %+v, %v", p, ok)
	}
	if err := d.DeleteUser(ctx, ann.ID); err != nil {
		t.Fatal(err)
	}
	wantKind(t, d.DeleteUser(ctx, ann.ID), resource.NotFound)
	if _, ok := d.Lookup(ann.ID); ok {
		t.Fatal("the deleted user is still there")
	}
	again, err := OpenDirectory(st, testTenant, nil)
	if err != nil {
		t.Fatal(err)
	}
	if users := again.Users(); len(users) != 1 || users[0].ID != bob.ID || users[0].UserPrincipalName != free {
		t.Fatalf("after a restart the users are %+v", users)
	}
}

func TestUniqueNamesHoldUnderConcurrency(t *testing.T) {
	d, _ := openTestDirectory(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 16 {
		wg.Go(func() {
			if _, err := d.CreateUser(context.Background(), NewUser{UserPrincipalName: "same@alvara.test", DisplayName: "Same"}); err == nil {
				mu.Lock()
				made++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if made != 1 || len(d.Users()) != 1 {
		t.Fatalf("%d users were made", made)
	}
}

func TestGroupsNestAndCyclesDoNoHarm(t *testing.T) {
	d, _ := openTestDirectory(t)
	ctx := context.Background()
	user, _ := d.CreateUser(ctx, NewUser{UserPrincipalName: "u@alvara.test", DisplayName: "U"})
	var groups []GroupObject
	for i := range 3 {
		g, err := d.CreateGroup(ctx, fmt.Sprint("g", i), "")
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	for _, pair := range [][2]string{{groups[0].ID, user.ID}, {groups[1].ID, groups[0].ID}, {groups[2].ID, groups[1].ID}, {groups[0].ID, groups[2].ID}} {
		if err := d.AddMember(ctx, pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{groups[0].ID, groups[1].ID, groups[2].ID}
	slices.Sort(want)
	if got := d.Groups(user.ID); !slices.Equal(got, want) {
		t.Fatalf("the groups are %v, want %v", got, want)
	}
	if got := d.Groups(groups[0].ID); slices.Contains(got, groups[0].ID) || len(got) != 2 {
		t.Fatalf("a group in a cycle is in %v", got)
	}
	wantKind(t, d.AddMember(ctx, groups[0].ID, user.ID), resource.Conflict)
	wantKind(t, d.AddMember(ctx, groups[0].ID, groups[0].ID), resource.Invalid)
	wantKind(t, d.AddMember(ctx, groups[0].ID, otherTenant), resource.NotFound)
	wantKind(t, d.AddMember(ctx, otherTenant, user.ID), resource.NotFound)
	if p, _ := d.Lookup(user.ID); !slices.Equal(p.Groups, want) {
		t.Fatalf("Lookup gives the groups %v", p.Groups)
	}
	if err := d.DeleteGroup(ctx, groups[1].ID); err != nil {
		t.Fatal(err)
	}
	if p, _ := d.Lookup(user.ID); !slices.Equal(p.Groups, []string{groups[0].ID}) {
		t.Fatalf("after the middle group is gone the groups are %v", p.Groups)
	}
	if g, _ := d.Group(groups[2].ID); len(g.Members) != 0 {
		t.Fatalf("the deleted group is still a member: %v", g.Members)
	}
	if err := d.RemoveMember(ctx, groups[0].ID, user.ID); err != nil {
		t.Fatal(err)
	}
	wantKind(t, d.RemoveMember(ctx, groups[0].ID, user.ID), resource.NotFound)
	if p, _ := d.Lookup(user.ID); len(p.Groups) != 0 {
		t.Fatalf("after removal the groups are %v", p.Groups)
	}
	members, err := d.Members(groups[0].ID)
	if err != nil || len(members) != 1 || members[0].Type != Group || members[0].ID != groups[2].ID {
		t.Fatalf("the members are %+v, %v", members, err)
	}
}

// TestGroupsAgreeWithTheDefinition compares with a fixed point over all edges, on random graphs that change.
func TestGroupsAgreeWithTheDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d, _ := openTestDirectory(t)
		ctx := context.Background()
		var ids []string
		for i := range 6 {
			g, err := d.CreateGroup(ctx, fmt.Sprint("g", i), "")
			if err != nil {
				rt.Fatal(err)
			}
			ids = append(ids, g.ID)
		}
		u, err := d.CreateUser(ctx, NewUser{UserPrincipalName: "u@x", DisplayName: "u"})
		if err != nil {
			rt.Fatal(err)
		}
		everyone := append(slices.Clone(ids), u.ID)
		edges := map[[2]string]bool{}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			group := rapid.SampledFrom(ids).Draw(rt, "group")
			member := rapid.SampledFrom(everyone).Draw(rt, "member")
			switch {
			case edges[[2]string{group, member}]:
				if err := d.RemoveMember(ctx, group, member); err != nil {
					rt.Fatal(err)
				}
				delete(edges, [2]string{group, member})
			case group != member:
				if err := d.AddMember(ctx, group, member); err != nil {
					rt.Fatal(err)
				}
				edges[[2]string{group, member}] = true
			}
			for _, who := range everyone {
				want := map[string]bool{who: true}
				for changed := true; changed; {
					changed = false
					for edge := range edges {
						if want[edge[1]] && !want[edge[0]] {
							want[edge[0]], changed = true, true
						}
					}
				}
				delete(want, who)
				p, _ := d.Lookup(who)
				if !slices.Equal(p.Groups, sortedKeys(want)) && len(p.Groups)+len(want) > 0 {
					rt.Fatalf("%s is in %v, want %v", who, p.Groups, sortedKeys(want))
				}
			}
		}
	})
}

func TestApplicationsAndTheirCredentials(t *testing.T) {
	w := newWorld(t)
	application, service, secret := w.app("deployer")
	if len(secret) < 40 || service.ServicePrincipalType != TypeApplication {
		t.Fatalf("secret %q, service principal %+v", secret, service)
	}
	stored, _ := w.directory.Application(application.AppID)
	if len(stored.Passwords) != 1 || stored.Passwords[0].Hint != secret[:3] || string(stored.Passwords[0].Hash) == secret {
		t.Fatalf("the credentials are %+v", stored.Passwords)
	}
	_, err := w.directory.CreateServicePrincipal(w.ctx, application.AppID)
	wantKind(t, err, resource.Conflict)
	_, err = w.directory.CreateServicePrincipal(w.ctx, otherTenant)
	wantKind(t, err, resource.Invalid)
	_, _, err = w.directory.AddPassword(w.ctx, application.ID, "", w.clock.Now().Add(-time.Hour))
	wantKind(t, err, resource.Invalid)
	wantKind(t, w.directory.RemovePassword(w.ctx, application.ID, otherTenant), resource.NotFound)
	_, err = w.directory.AddCertificate(w.ctx, application.ID, "", []byte("not a certificate"))
	wantKind(t, err, resource.Invalid)

	_, err = w.directory.UpdateApplication(w.ctx, application.ID, func(a *ApplicationObject) {
		a.IdentifierURIs = []string{"https://deployer.alvara.test"}
		a.AppID = otherTenant // not for callers to change
	})
	w.must(err)
	if found := w.directory.Search("HTTPS://deployer.alvara.test"); len(found) != 1 || found[0].ID != service.ID {
		t.Fatalf("by service principal name: %+v", found)
	}
	w.must(w.directory.DeleteApplication(w.ctx, application.AppID))
	if _, ok := w.directory.Lookup(service.ID); ok {
		t.Fatal("the service principal outlives its application")
	}
}

// MI-08: whoever --assignee can name.
func TestSearchFindsAssignees(t *testing.T) {
	w := newWorld(t)
	user := w.user("dev@alvara.test", "")
	application, service, _ := w.app("ci")
	identity, id := w.managed("mat")
	group, err := w.directory.CreateGroup(w.ctx, "developers", "")
	w.must(err)
	for assignee, want := range map[string]string{
		user.ID: user.ID, "DEV@alvara.test": user.ID, application.AppID: service.ID, service.ID: service.ID,
		identity.ClientID: identity.PrincipalID, identity.PrincipalID: identity.PrincipalID, group.ID: group.ID, "Developers": group.ID, "ci": service.ID,
	} {
		if found := w.directory.Search(assignee); len(found) != 1 || found[0].ID != want {
			t.Errorf("Search(%q) gives %+v, want %s", assignee, found, want)
		}
	}
	if found := w.directory.Search("nobody"); len(found) != 0 {
		t.Fatalf("Search finds %+v", found)
	}
	p, ok := w.directory.FindByResourceID(id.Key())
	if !ok || p.ID != identity.PrincipalID || p.ResourceID != id.String() || p.Type != ServicePrincipal || p.ClientID != identity.ClientID {
		t.Fatalf("by resource id: %+v, %v", p, ok)
	}
}

func TestRecreatedIdentityIsSomebodyElse(t *testing.T) {
	w := newWorld(t)
	first, id := w.managed("mat")
	set, err := w.service.IssueManaged(w.ctx, first.PrincipalID, armAudience)
	w.must(err)
	w.wantAllowed(set.AccessToken, "arm", first.PrincipalID)
	_, err = w.store.Apply(w.ctx, w.directory.RemoveOps(first.PrincipalID)...)
	w.must(err)
	if ops := w.directory.RemoveOps(first.PrincipalID); len(ops) != 0 {
		t.Fatalf("removing again takes %v", ops)
	}
	second, _ := w.managed("mat")
	if second.PrincipalID == first.PrincipalID || second.ClientID == first.ClientID {
		t.Fatal("the new identity has the old ids")
	}
	w.wantRefused(set.AccessToken, "arm", "InvalidAuthenticationToken")
	service, _ := w.directory.ServicePrincipal(second.ClientID)
	if !slices.Equal(service.AlternativeNames, []string{"isExplicit=True", id.String()}) {
		t.Fatalf("the alternative names are %v", service.AlternativeNames)
	}
	wantKind(t, w.directory.DeleteServicePrincipal(w.ctx, second.PrincipalID), resource.Invalid)
}

func TestDirectoryIsSafeForConcurrentUse(t *testing.T) {
	d, _ := openTestDirectory(t)
	ctx := context.Background()
	group, err := d.CreateGroup(ctx, "g", "")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewSource(int64(worker)))
			for i := range 30 {
				user, err := d.CreateUser(ctx, NewUser{UserPrincipalName: fmt.Sprintf("u%d-%d@x", worker, i), DisplayName: "u"})
				if err != nil {
					t.Error(err)
					return
				}
				if err := d.AddMember(ctx, group.ID, user.ID); err != nil {
					t.Error(err)
				}
				if p, ok := d.Active(user.ID); !ok || len(p.Groups) != 1 {
					t.Errorf("a member that was just added has the groups %v", p.Groups)
				}
				d.Search(fmt.Sprintf("u%d-%d@x", random.Intn(4), random.Intn(30)))
				if i%2 == 0 {
					if err := d.DeleteUser(ctx, user.ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if members, _ := d.Members(group.ID); len(members) != 4*15 {
		t.Fatalf("the group has %d members", len(members))
	}
}

func TestListsAreOrderedAndTheCallersOwn(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		application, service, _ := w.app(name)
		_, err := w.directory.UpdateApplication(w.ctx, application.ID, func(a *ApplicationObject) { a.IdentifierURIs = []string{"api://" + name} })
		w.must(err)
		if names := w.directory.ServicePrincipalNames(service); !slices.Equal(names, []string{application.AppID, "api://" + name}) {
			t.Fatalf("the names are %v", names)
		}
		_, err = w.directory.CreateGroup(w.ctx, "g "+name, "about "+name)
		w.must(err)
	}
	applications, services, groups := w.directory.Applications(), w.directory.ServicePrincipals(), w.directory.ListGroups()
	if len(applications) != 3 || len(services) != 3 || len(groups) != 3 {
		t.Fatalf("%d applications, %d service principals, %d groups", len(applications), len(services), len(groups))
	}
	if !slices.IsSortedFunc(services, func(a, b ServicePrincipalObject) int { return strings.Compare(a.ID, b.ID) }) {
		t.Fatal("the service principals are not ordered by id")
	}
	applications[0].IdentifierURIs[0] = "changed by the caller"
	if again, _ := w.directory.Application(applications[0].ID); again.IdentifierURIs[0] == "changed by the caller" {
		t.Fatal("a caller changes the directory's own copy")
	}
	_, err := w.directory.UpdateApplication(w.ctx, applications[1].ID, func(a *ApplicationObject) {
		held, _ := w.directory.Application(applications[2].ID)
		a.IdentifierURIs = held.IdentifierURIs
	})
	wantKind(t, err, resource.Conflict)
	w.must(w.directory.DeleteServicePrincipal(w.ctx, services[0].ID))
	wantKind(t, w.directory.DeleteServicePrincipal(w.ctx, services[0].ID), resource.NotFound)
}

func TestUnreadableDocumentsKeepTheDirectoryClosed(t *testing.T) {
	st := mem.New()
	_, err := st.Apply(context.Background(), store.Put{Key: "/directory/users/x", Kind: kindUsers, Body: []byte(`{"id":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDirectory(st, testTenant, nil); err == nil {
		t.Fatal("the directory opens")
	}
	if _, err := OpenDirectory(mem.New(), "contoso", nil); err == nil {
		t.Fatal("a tenant that is no GUID is taken")
	}
}

// A secret can be given to a command line as it is.
func TestSecretsAreNoFlags(t *testing.T) {
	for range 2000 {
		if secret := newSecret(); secret[0] == '-' || len(secret) < 40 {
			t.Fatalf("the secret %q", secret)
		}
	}
}
