package containerregistry_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// TestEvents: the hooks hear of registries before the requests are answered, and a registry that is made again is another.
func TestEvents(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	if got := w.happened(); !slices.Equal(got, []string{"opened fraudacr 50001"}) {
		t.Errorf("making it: %q", got)
	}
	first := w.key("fraudacr")
	w.must("PATCH", fraud, map[string]any{"properties": map[string]any{"adminUserEnabled": true}})
	if got := w.happened(); len(got) != 0 {
		t.Errorf("changing it: %q", got)
	}
	w.must("DELETE", fraud, nil)
	if got := w.happened(); !slices.Equal(got, []string{"closed fraudacr"}) {
		t.Errorf("deleting it: %q", got)
	}
	if _, err := w.catalog.Registry(t.Context(), "fraudacr"); resource.KindOf(err) != resource.NotFound {
		t.Errorf("deleted, it gives %v", err)
	}
	if !slices.Equal(w.dropped, []string{first}) {
		t.Errorf("dropped %q; want %q", w.dropped, first)
	}
	w.withRegistry()
	if second := w.key("fraudacr"); second == first {
		t.Error("made again, it has the key of before")
	}
	if got := w.happened(); len(got) != 1 || !strings.HasPrefix(got[0], "opened fraudacr") {
		t.Errorf("making it again: %q", got)
	}
	w.must("PUT", registries+"secondacr", with(nil))
	w.happened()
	w.openCatalog()
	got := w.happened()
	if slices.Sort(got); len(got) != 2 || len(w.catalog.LoginServers()) != 2 || len(w.catalog.All()) != 2 {
		t.Errorf("opened anew, the catalog tells of %q", got)
	}
	w.must("DELETE", group, nil)
	for range 500 {
		if _, err := w.catalog.Registry(t.Context(), "secondacr"); err != nil {
			return
		}
		wait()
	}
	t.Error("deleting the group leaves the registry")
}

// TestPorts: no two registries share a port, even when the machine offers one twice.
func TestPorts(t *testing.T) {
	w := newWorld(t)
	w.ports = []int{41000}
	w.must("PUT", registries+"firstacr", with(nil))
	w.ports = []int{41000, 41000, 41001}
	if got := w.must("PUT", registries+"secondacr", with(nil)); got.text("properties.loginServer") != "127.0.0.1:41001" {
		t.Errorf("the second registry is at %s", got.text("properties.loginServer"))
	}
	w.ports = nil
	for range 40 {
		w.ports = append(w.ports, 42000, 42001, 42002, 42003)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { w.must("PUT", fmt.Sprintf("%sracing%d", registries, i), with(nil)) })
	}
	wg.Wait()
	servers := w.catalog.LoginServers()
	if slices.Sort(servers); len(servers) != 6 || len(slices.Compact(servers)) != 6 {
		t.Errorf("the login servers are %q", servers)
	}
	w.domain = true
	if got := w.must("PUT", registries+"Domains", with(nil)); got.text("properties.loginServer") != "domains.cr.example.com" {
		t.Errorf("with a domain it is at %s", got.text("properties.loginServer"))
	}
	w.must("PUT", registries+"domains2", with(nil)) // none of them has a port
	// Served without a domain later, they get ports.
	w.domain, w.ports = false, nil
	w.openCatalog()
	r, err := w.catalog.Registry(t.Context(), "domains")
	if err != nil || !strings.HasPrefix(r.LoginServer, "127.0.0.1:") {
		t.Errorf("without the domain it is %+v, %v", r, err)
	}
	if got := w.must("GET", registries+"domains", nil); got.text("properties.loginServer") != r.LoginServer {
		t.Errorf("it shows %s and the catalog has %s", got.text("properties.loginServer"), r.LoginServer)
	}
	w.ports = slices.Repeat([]int{41000}, 200)
	refused(t, "no free port", w.do("PUT", registries+"portless", with(nil)), 503, "NoFreePort")
}

// TestOlderDocuments: registries that were plain documents, as an earlier version wrote them, become whole.
func TestOlderDocuments(t *testing.T) {
	for _, domain := range []bool{false, true} {
		t.Run(fmt.Sprintf("domain=%t", domain), func(t *testing.T) {
			w := newWorld(t)
			for name, properties := range map[string]string{"oldacr": `{}`, "adminacr": `{"adminUserEnabled":true}`} {
				_, err := w.store.Apply(t.Context(), store.Put{Key: resource.MustParseID(registries + name).Key(), Kind: "microsoft.containerregistry/registries",
					Body: []byte(`{"id":"` + registries + name + `","name":"` + name + `","type":"Microsoft.ContainerRegistry/registries","location":"local","properties":` + properties + `,"state":"Succeeded"}`)})
				if err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.catalog.Registry(t.Context(), "oldacr"); resource.KindOf(err) != resource.NotFound {
				t.Errorf("a registry without a key is served: %v", err)
			}
			w.domain = domain
			w.openCatalog()
			r, err := w.catalog.Registry(t.Context(), "oldacr")
			if err != nil || r.Key == "" || r.Quota != 10<<30 || r.AdminEnabled {
				t.Errorf("%+v, %v", r, err)
			}
			if admin, _ := w.catalog.Registry(t.Context(), "adminacr"); !admin.AdminEnabled || admin.LoginServer == r.LoginServer {
				t.Errorf("%+v", admin)
			}
			w.must("POST", registries+"adminacr/listCredentials", nil)
			w.must("PATCH", registries+"oldacr", map[string]any{"tags": map[string]any{"a": "b"}})
			if now := w.key("oldacr"); now != r.Key {
				t.Error("a change gives it another key")
			}
			w.must("DELETE", registries+"oldacr", nil)
		})
	}
}

func TestDropIsRepeated(t *testing.T) {
	w := newWorld(t)
	w.withRegistry()
	key := w.key("fraudacr")
	if _, err := w.catalog.Registry(context.Background(), ""); resource.KindOf(err) != resource.NotFound {
		t.Errorf("the empty name gives %v", err)
	}
	w.must("DELETE", fraud, nil)
	if !slices.Equal(w.dropped, []string{key}) {
		t.Errorf("dropped %q", w.dropped)
	}
	if got := w.do("DELETE", fraud, nil); got.Status != 204 {
		t.Errorf("deleting what is gone: %d %s", got.Status, got.Raw)
	}
}
