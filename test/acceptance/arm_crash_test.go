package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/store/sqlite"
	"github.com/alvara-ml/alvara/test/testenv"
)

// history is what clients were told of each resource.
type history struct {
	mu      sync.Mutex
	present map[string]bool // acknowledged; absent from the map while a request for it is in flight
	going   map[string]bool // groups whose deletion was accepted
	coming  map[string]bool // stores whose creation was accepted
	writes  int
}

func (h *history) note(set map[string]bool, path string, value bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	set[path] = value
	h.writes++
}

func (h *history) unsure(path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.present, path)
}

// TestCrashOfTheControlPlane kills the server at random moments while clients write, and starts it again: every
// acknowledged write is there, no resource is there by half, and accepted operations come to their end.
func TestCrashOfTheControlPlane(t *testing.T) {
	rounds := 32
	if testing.Short() {
		rounds = 4
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	dir := testenv.Folder(t)
	h := &history{present: map[string]bool{}, going: map[string]bool{}, coming: map[string]bool{}}
	started := time.Now()
	for round := range rounds {
		child := testenv.StartChild(t, dir)
		admin := child.Env.Admin()
		group := child.Env.Group("kept")
		if round == 0 {
			mustDo(t, admin, "PUT", group, map[string]any{"location": "local"})
			mustDo(t, admin, "PUT", group+storeType+"fs", map[string]any{"kind": "FeatureStore"})
		}
		h.check(t, admin, round)
		wait := time.Duration(20+random.IntN(180)) * time.Millisecond
		var clients sync.WaitGroup
		for c := range 4 {
			clients.Add(1)
			go func() {
				defer clients.Done()
				h.write(admin, group, fmt.Sprintf("r%dc%dn", round, c))
			}()
		}
		time.Sleep(wait)
		child.Kill()
		clients.Wait()
		checkDocuments(t, dir, round)
		if t.Failed() {
			return
		}
	}
	child := testenv.StartChild(t, dir)
	h.check(t, child.Env.Admin(), rounds)
	t.Logf("%d rounds, %d acknowledged writes, %v", rounds, h.writes, time.Since(started).Round(time.Millisecond))
	if h.writes < rounds {
		t.Errorf("only %d writes were acknowledged in %d rounds: the test shows nothing", h.writes, rounds)
	}
}

const storeType = "/providers/Microsoft.MachineLearningServices/workspaces/"

func mustDo(t *testing.T, u *testenv.User, method, path string, body any) testenv.Answer {
	t.Helper()
	got := u.Do(method, path, body)
	if got.Status >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, got.Status, got.Raw)
	}
	return got
}

// write makes and deletes resources of all sorts until the server is gone.
func (h *history) write(u *testenv.User, group, prefix string) {
	put := func(path string, body any) (testenv.Answer, bool) {
		h.unsure(path)
		got, err := u.Try("PUT", path, body)
		if err != nil || got.Status >= 300 {
			return got, false
		}
		h.note(h.present, path, true)
		return got, true
	}
	drop := func(path string) bool {
		h.unsure(path)
		got, err := u.Try("DELETE", path, nil)
		if err != nil || got.Status >= 300 {
			return false
		}
		h.note(h.present, path, false)
		return true
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s%d", prefix, i)
		account := group + "/providers/Microsoft.Storage/storageAccounts/" + name
		if _, ok := put(account, map[string]any{}); !ok {
			return
		}
		identity, ok := put(group+"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"+name, map[string]any{})
		if !ok {
			return
		}
		container := account + "/blobServices/default/containers/data"
		grant := container + "/providers/Microsoft.Authorization/roleAssignments/" + uuid.NewString()
		if _, ok := put(container, map[string]any{}); !ok {
			return
		}
		if _, ok := put(grant, map[string]any{"properties": map[string]any{
			"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + access.RoleReader, "principalId": identity.Text("properties.principalId")}}); !ok {
			return
		}
		if _, ok := put(group+storeType+"fs/featurestoreEntities/"+name+"/versions/1", entityBody()); !ok {
			return
		}
		if i%3 == 0 {
			h.unsure(container)
			h.unsure(grant)
			if !drop(account) {
				return
			}
			h.note(h.present, container, false)
			h.note(h.present, grant, false)
		}
		if i%4 == 0 && !h.long(u, group, name) {
			return
		}
	}
}

// long begins operations: a group with something in it that goes, and a store that comes.
func (h *history) long(u *testenv.User, kept, name string) bool {
	group := strings.TrimSuffix(kept, "kept") + "group-" + name
	for _, step := range []string{group, group + "/providers/Microsoft.KeyVault/vaults/v" + name} {
		if got, err := u.Try("PUT", step, map[string]any{"location": "local"}); err != nil || got.Status >= 300 {
			return false
		}
	}
	got, err := u.Try("DELETE", group, nil)
	if err != nil {
		return false
	}
	if got.Status == 202 {
		h.note(h.going, group, true)
	}
	workspace := kept + storeType + name
	if got, err = u.Try("PUT", workspace, map[string]any{"kind": "FeatureStore"}); err != nil {
		return false
	}
	if got.Status == 202 {
		h.note(h.coming, workspace, true)
	}
	return true
}

// check compares what is there with what was acknowledged.
func (h *history) check(t *testing.T, u *testenv.User, round int) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(h.present)) {
		got := u.Do("GET", path, nil)
		switch want := h.present[path]; {
		case want && got.Status != 200:
			t.Errorf("round %d: %s was acknowledged and answers %d %s", round, path, got.Status, got.Raw)
		case !want && got.Status != 404:
			t.Errorf("round %d: %s was deleted and answers %d", round, path, got.Status)
		}
	}
	// What was seen once is not looked at again in every round: the documents are.
	clear(h.present)
	until := time.Now().Add(20 * time.Second)
	for group := range h.going {
		for u.Do("GET", group, nil).Status != 404 {
			if time.Now().After(until) {
				t.Fatalf("round %d: the deletion of %s was accepted and does not end", round, group)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	for workspace := range h.coming {
		for {
			got := u.Do("GET", workspace, nil)
			state := got.Text("properties.provisioningState")
			if state == "Succeeded" {
				break
			}
			if state == "Failed" || got.Status != 200 || time.Now().After(until) {
				t.Fatalf("round %d: the creation of %s was accepted and is %d %s", round, workspace, got.Status, got.Raw)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	clear(h.going)
	clear(h.coming)
}

// checkDocuments looks into the database of a server that was killed: nothing is there without what belongs to it.
func checkDocuments(t *testing.T, dir string, round int) {
	t.Helper()
	ctx := context.Background()
	st, err := sqlite.Open(ctx, filepath.Join(dir, "alvara.db"))
	if err != nil {
		t.Fatalf("round %d: the database does not open: %v", round, err)
	}
	defer func() {
		if err := st.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	list := func(kind string) []store.Document {
		docs, err := st.List(ctx, store.Query{Kind: strings.ToLower(kind)})
		if err != nil {
			t.Fatal(err)
		}
		return docs
	}
	there := func(key string) bool {
		_, err := st.Get(ctx, key)
		return err == nil
	}
	need := func(doc store.Document, key, what string) {
		if !there(key) {
			t.Errorf("round %d: %s is there without %s %s", round, doc.Key, what, key)
		}
	}
	for _, kind := range []string{
		"Microsoft.Storage/storageAccounts", "Microsoft.Storage/storageAccounts/blobServices", "Microsoft.Storage/storageAccounts/blobServices/containers",
		"Microsoft.ManagedIdentity/userAssignedIdentities", "Microsoft.KeyVault/vaults", "Microsoft.MachineLearningServices/workspaces/featurestoreEntities/versions",
		"Microsoft.MachineLearningServices/workspaces/datastores", "Microsoft.Authorization/roleAssignments",
	} {
		for _, doc := range list(kind) {
			if parent := resource.MustParseID(doc.Key).Parent(); !parent.IsRoot() {
				need(doc, parent.Key(), "its parent")
			}
		}
	}
	for _, doc := range list("Microsoft.Storage/storageAccounts") {
		need(doc, doc.Key+"/blobservices/default", "its service")
		need(doc, "/unique/microsoft.storage/storageaccounts/"+resource.MustParseID(doc.Key).Name(), "its name's claim")
	}
	owners := map[string]bool{}
	for _, doc := range list("Microsoft.ManagedIdentity/userAssignedIdentities") {
		var identity struct {
			Properties struct{ PrincipalID string }
		}
		if err := json.Unmarshal(doc.Body, &identity); err != nil {
			t.Fatal(err)
		}
		need(doc, "/directory/serviceprincipals/"+identity.Properties.PrincipalID, "its principal")
		owners[doc.Key] = true
	}
	for _, doc := range list("directory/serviceprincipals") {
		var principal struct{ ResourceID string }
		if err := json.Unmarshal(doc.Body, &principal); err != nil {
			t.Fatal(err)
		}
		if id := strings.ToLower(principal.ResourceID); id != "" && !owners[id] && !there(id) {
			t.Errorf("round %d: the principal %s is there without its resource %s", round, doc.Key, id)
		}
	}
	for _, doc := range list("arm/references") {
		needed, by, _ := strings.Cut(strings.TrimPrefix(doc.Key, "/references"), "/#")
		need(doc, needed, "what is needed")
		need(doc, by, "who needs it")
	}
	names := map[string]bool{}
	for _, kind := range []string{"Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults", "Microsoft.ContainerRegistry/registries"} {
		for _, doc := range list(kind) {
			names["/unique/"+strings.ToLower(kind)+"/"+resource.MustParseID(doc.Key).Name()] = true
			var registry struct {
				Properties struct{ Own struct{ Port int } }
			}
			if err := json.Unmarshal(doc.Body, &registry); err != nil {
				t.Fatal(err)
			}
			names[fmt.Sprintf("/unique/%s/port:%d", strings.ToLower(kind), registry.Properties.Own.Port)] = true
		}
	}
	for _, doc := range list("arm/unique") {
		if !names[doc.Key] && !strings.HasPrefix(doc.Key, "/unique/microsoft.authorization/") {
			t.Errorf("round %d: the name's claim %s is there without its resource", round, doc.Key)
		}
	}
}
