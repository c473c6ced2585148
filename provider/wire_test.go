package provider_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

func TestETags(t *testing.T) {
	w := newWorld(t)
	vault := group + "/providers/Microsoft.KeyVault/vaults/vault"
	refused(t, "If-Match on nothing", w.do("PUT", vault, map[string]any{}, "If-Match", "*"), 412, "PreconditionFailed")
	made := w.do("PUT", vault, map[string]any{}, "If-None-Match", "*")
	if made.Status != 201 || made.Header.Get("ETag") == "" || made.Header.Get("ETag") != made.text("etag") {
		t.Fatalf("create: %d %s", made.Status, made.Raw)
	}
	refused(t, "If-None-Match on something", w.do("PUT", vault, map[string]any{}, "If-None-Match", "*"), 412, "PreconditionFailed")
	changed := w.do("PATCH", vault, map[string]any{"tags": map[string]any{"a": "b"}}, "If-Match", made.text("etag"))
	if changed.Status != 200 || changed.text("etag") == made.text("etag") {
		t.Fatalf("change: %d %s", changed.Status, changed.Raw)
	}
	before := w.contents()
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		refused(t, method+" with an old ETag", w.do(method, vault, map[string]any{}, "If-Match", made.text("etag")), 412, "PreconditionFailed", changed.text("etag"))
	}
	w.unchanged(before, "old ETags")
	if got := w.do("HEAD", vault, nil); got.Status != 204 {
		t.Errorf("HEAD: %d", got.Status)
	}
	if got := w.do("DELETE", vault, nil, "If-Match", changed.text("etag")); got.Status != 200 {
		t.Errorf("delete: %d %s", got.Status, got.Raw)
	}
	if got := w.do("DELETE", vault, nil); got.Status != 204 {
		t.Errorf("delete what is gone: %d", got.Status)
	}
}

// Ids are read in any case and answered as they were first written.
func TestIDsInAnyCase(t *testing.T) {
	w := newWorld(t)
	account := group + "/providers/Microsoft.Storage/storageAccounts/acct"
	w.must("PUT", account, map[string]any{})
	for _, path := range []string{strings.ToUpper(account), strings.ToLower(account), strings.Replace(account, "resourceGroups/rg", "resourcegroups/RG", 1)} {
		if got := w.do("GET", path, nil); got.text("id") != account {
			t.Errorf("%s answers %d %s", path, got.Status, got.Raw)
		}
		if got := w.do("PUT", path, map[string]any{}); got.text("id") != account && got.code() != "InvalidResourceName" {
			t.Errorf("PUT %s answers %d %s", path, got.Status, got.Raw)
		}
	}
	names := subscription + "/resourceGroups/providers"
	w.must("PUT", names, map[string]any{"location": "local"})
	identity := names + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/providers"
	w.must("PUT", identity, map[string]any{})
	w.must("PUT", identity+"/federatedIdentityCredentials/providers", map[string]any{"properties": map[string]any{"issuer": "https://i.example", "subject": "s"}})
	if got := w.do("GET", identity+"/federatedIdentityCredentials", nil); sorted(got.names()) != "[providers]" {
		t.Errorf("children of what is called providers: %d %s", got.Status, got.Raw)
	}
	id := w.grant(w.person("reader"), access.RoleReader, identity)
	if got := w.do("GET", id, nil); got.text("properties.scope") != identity {
		t.Errorf("an extension of what is called providers: %d %s", got.Status, got.Raw)
	}
}

// Every page has its size, and all pages together show every resource once, also where some are hidden or forbidden.
func TestPaging(t *testing.T) {
	w := newWorld(t)
	w.withStore("")
	var want []string
	who := w.person("reader")
	for i := range 23 {
		name := fmt.Sprintf("e%02d", i)
		w.must("PUT", fs+"/featurestoreEntities/"+name+"/versions/1", entityBody())
		switch {
		case i%4 == 1:
			w.must("PATCH", fs+"/featurestoreEntities/"+name, map[string]any{"properties": map[string]any{"isArchived": true}})
		case i%3 != 0:
			w.grant(who, access.RoleReader, fs+"/featurestoreEntities/"+name)
			want = append(want, name)
		}
	}
	for size := 1; size < 12; size++ {
		var seen []string
		next := fmt.Sprintf("%s/featurestoreEntities?$top=%d", fs, size)
		for pages := 0; next != "" && pages < 50; pages++ {
			got := w.as(who, "GET", next, nil)
			if got.Status != 200 || len(got.values()) > size {
				t.Fatalf("a page of %d: %d %s", size, got.Status, got.Raw)
			}
			seen, next = append(seen, got.names()...), got.text("nextLink")
		}
		if !slices.Equal(seen, want) {
			t.Errorf("pages of %d show %v; want %v", size, seen, want)
		}
	}
	refused(t, "a token of ours that is none", w.do("GET", fs+"/featurestoreEntities?$skipToken=!", nil), 400, "InvalidSkipToken", "$skipToken")
	refused(t, "a list in nothing", w.do("GET", subscription+"/resourceGroups/none/providers/Microsoft.KeyVault/vaults", nil), 404, "ResourceGroupNotFound", "none")
	refused(t, "a list in nothing, for a stranger", w.as(who, "GET", subscription+"/resourceGroups/none/providers/Microsoft.KeyVault/vaults", nil), 403, "AuthorizationFailed", "vaults/read")
}

// Writers of one resource do not lose each other's changes.
func TestConcurrentPatches(t *testing.T) {
	w := newWorld(t)
	vault := group + "/providers/Microsoft.KeyVault/vaults/vault"
	var all sync.WaitGroup
	for i := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			if got := w.do("PUT", vault, map[string]any{}); got.Status != 201 && got.Status != 200 {
				t.Errorf("PUT: %d %s", got.Status, got.Raw)
			}
			_ = i
		}()
	}
	all.Wait()
	for i := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			if got := w.do("PATCH", vault, map[string]any{"tags": map[string]any{fmt.Sprint(i): "x"}}); got.Status != 200 {
				t.Errorf("PATCH: %d %s", got.Status, got.Raw)
			}
		}()
	}
	all.Wait()
	if tags, _ := w.do("GET", vault, nil).get("tags").(map[string]any); len(tags) != 8 {
		t.Errorf("tags are %v", tags)
	}
}

// A child is never left without its parent, a referrer never without what it needs, and a name is given once, however
// requests cross.
func TestRacesBetweenResources(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", subscription+"/resourceGroups/rg2", map[string]any{"location": "local"})
	for round := range 40 {
		account := fmt.Sprintf("%s/providers/Microsoft.Storage/storageAccounts/acct%d", group, round)
		w.must("PUT", account, map[string]any{})
		twin := strings.Replace(account, "/rg/", "/rg2/", 1) + "t"
		var all sync.WaitGroup
		for _, do := range []func(){
			func() { w.do("PUT", account+"/blobServices/default/containers/one", map[string]any{}) },
			func() { w.do("PUT", account+"/blobServices/default/containers/two", map[string]any{}) },
			func() { _, _ = w.storage.CreateContainer(t.Context(), fmt.Sprintf("acct%d", round), "three", nil) },
			func() {
				w.send(w.owner, "PUT", account+"/providers/Microsoft.Authorization/roleAssignments/"+uuid.NewString(), grantBody(w.owner, access.RoleReader))
			},
			func() { w.do("DELETE", account, nil) },
			func() { w.do("PUT", twin, map[string]any{}) },
			func() { w.do("PUT", strings.Replace(twin, "/rg2/", "/rg/", 1), map[string]any{}) },
		} {
			all.Add(1)
			go func() { defer all.Done(); do() }()
		}
		all.Wait()
	}
	owners := map[string]string{}
	for key := range w.contents() {
		id, err := resource.ParseID(key)
		if err != nil || id.IsRoot() {
			continue
		}
		if parent := id.Parent(); !parent.IsRoot() && w.contents()[parent.Key()] == "" {
			t.Errorf("%s is left without its parent", key)
		}
		if id.Type().Is("Microsoft.Storage/storageAccounts") {
			if other := owners[id.Name()]; other != "" {
				t.Errorf("%s and %s have one name", key, other)
			}
			owners[id.Name()] = key
		}
	}
}

// An entity and a feature set that needs it, made and deleted at once.
func TestRacesOfReferences(t *testing.T) {
	w := newWorld(t)
	w.withStore("")
	for range 30 {
		w.must("PUT", fs+"/featurestoreEntities/account/versions/1", entityBody())
		var all sync.WaitGroup
		for _, do := range []func() answer{
			func() answer { return w.do("PUT", setVersion, setBody("None")) },
			func() answer { return w.do("DELETE", fs+"/featurestoreEntities/account/versions/1", nil) },
		} {
			all.Add(1)
			go func() {
				defer all.Done()
				if got := do(); got.Status == 500 {
					t.Errorf("%s", got.Raw)
				}
			}()
		}
		all.Wait()
		set, entity := w.do("GET", setVersion, nil).Status, w.do("GET", fs+"/featurestoreEntities/account/versions/1", nil).Status
		if set == 200 && entity != 200 {
			t.Fatal("a feature set is left without its entity")
		}
		w.do("DELETE", setVersion, nil)
	}
}

// What a deleted resource had outside of the store is forgotten even when that fails at first, and until then nothing
// takes its place.
func TestForgettingIsRepeated(t *testing.T) {
	w := newWorld(t)
	account := group + "/providers/Microsoft.Storage/storageAccounts/acct"
	container := account + "/blobServices/default/containers/data"
	w.must("PUT", account, map[string]any{})
	w.must("PUT", container, map[string]any{})
	w.failDrops(errors.New("the disk is full"))
	done := make(chan answer)
	go func() { done <- w.do("DELETE", container, nil) }()
	deadline := time.Now().Add(5 * time.Second)
	for w.do("GET", container, nil).Status == 200 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	refused(t, "making it anew meanwhile", w.do("PUT", container, map[string]any{}), 409, "ResourceBeingDeleted", container)
	w.failDrops(nil)
	if got := <-done; got.Status != 200 {
		t.Errorf("delete: %d %s", got.Status, got.Raw)
	}
	if len(w.dropped) != 1 {
		t.Errorf("forgotten: %v", w.dropped)
	}
	w.must("PUT", container, map[string]any{})
}

// A container deleted on the blob plane takes its roles along, and stays while a store needs it.
func TestDeletingAContainerOnTheBlobPlane(t *testing.T) {
	w := newWorld(t)
	w.withStore("")
	account := group + "/providers/Microsoft.Storage/storageAccounts/acct"
	w.must("PUT", account, map[string]any{})
	if _, err := w.storage.CreateContainer(t.Context(), "acct", "data", nil); err != nil {
		t.Fatal(err)
	}
	who := w.person("reader")
	w.grant(who, access.RoleStorageBlobDataReader, account+"/blobServices/default/containers/data")
	if err := w.storage.DeleteContainer(t.Context(), "acct", "data"); err != nil {
		t.Fatal(err)
	}
	if held := w.live.Snapshot().AssignmentsFor(who); len(held) != 0 {
		t.Errorf("a role outlives its container: %v", held[0].ID)
	}
	target := resource.MustParseID(w.must("GET", fs, nil).text("properties.offlineStore.target"))
	err := w.storage.DeleteContainer(t.Context(), target.Parent().Parent().Name(), target.Name())
	if resource.KindOf(err) != resource.Conflict {
		t.Errorf("the offline store's container is deleted: %v", err)
	}
}

// A group goes with all that it holds, and takes nothing new while it goes.
func TestDeletingAGroup(t *testing.T) {
	w := newWorld(t)
	w.withStore("None")
	who := w.person("contributor")
	w.grant(who, access.RoleContributor, group)
	if got := w.as(who, "DELETE", group, nil); got.Status != 200 {
		t.Fatalf("a contributor, whose right ends with the group: %d %s", got.Status, got.Raw)
	}
	for key := range w.contents() {
		if strings.HasPrefix(key, resource.MustParseID(group).Key()) || strings.HasPrefix(key, "/references") || strings.HasPrefix(key, "/unique/microsoft.storage") {
			t.Errorf("%s is left", key)
		}
	}
	if got := w.do("DELETE", group, nil); got.Status != 404 {
		t.Errorf("delete what is gone: %d", got.Status)
	}
	w.must("PUT", group, map[string]any{"location": "local"})
	if got := w.as(who, "GET", group, nil); got.Status != 403 {
		t.Errorf("a role outlives its group: %d", got.Status)
	}
	doc, err := w.store.Get(t.Context(), resource.MustParseID(group).Key())
	if err != nil {
		t.Fatal(err)
	}
	going := strings.Replace(string(doc.Body), `"state":"Succeeded"`, `"state":"Deleting"`, 1)
	if _, err := w.store.Apply(t.Context(), store.Put{Key: doc.Key, Kind: doc.Kind, Body: []byte(going)}); err != nil {
		t.Fatal(err)
	}
	refused(t, "into a group that goes", w.do("PUT", group+"/providers/Microsoft.KeyVault/vaults/vault", map[string]any{}), 409, "ResourceGroupBeingDeleted", "rg")
}
