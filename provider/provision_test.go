package provider_test

import (
	"strings"
	"testing"
)

// FS-09: who may read feature stores, and no other workspaces, is told that there is none; a stranger is told nothing.
func TestWhereThereIsNoStore(t *testing.T) {
	w := newWorld(t)
	who, stranger := w.person("reader"), w.person("stranger")
	w.grant(who, w.role("Reader of stores", []string{ml + "featurestores/read", ml + "featurestores/delete"}, nil), group)
	stores := fs[:strings.LastIndex(fs, "/")]
	refused(t, "a reader", w.as(who, "GET", fs, nil), 404, "ResourceNotFound", "fs")
	if got := w.as(who, "GET", stores, nil); got.Status != 200 || len(got.values()) != 0 {
		t.Errorf("an empty list: %d %s", got.Status, got.Raw)
	}
	if got := w.as(who, "DELETE", fs, nil); got.Status != 204 {
		t.Errorf("delete nothing: %d %s", got.Status, got.Raw)
	}
	for _, method := range []string{"GET", "DELETE"} {
		refused(t, "a stranger", w.as(stranger, method, fs, nil), 403, "AuthorizationFailed", "workspaces/")
	}
	w.withStore("None")
	if got := w.as(who, "GET", stores, nil); sorted(got.names()) != "[fs]" {
		t.Errorf("the list: %d %s", got.Status, got.Raw)
	}
}

// A store whose provisioning fails says why, keeps what it has, and is completed by the same request later.
func TestProvisioningThatFails(t *testing.T) {
	w := newWorld(t)
	made := w.must("PUT", fs, map[string]any{"kind": "FeatureStore"})
	vault := made.text("properties.keyVault")
	w.must("DELETE", fs, nil)
	w.must("DELETE", vault, nil)
	// The name of the vault is taken by somebody else.
	w.must("PUT", subscription+"/resourceGroups/rg2", map[string]any{"location": "local"})
	taken := strings.Replace(vault, "/rg/", "/rg2/", 1)
	w.must("PUT", taken, map[string]any{})
	refused(t, "a name that is taken", w.do("PUT", fs, map[string]any{"kind": "FeatureStore"}), 409, "NameAlreadyExists", vault[strings.LastIndex(vault, "/")+1:])
	got := w.must("GET", fs, nil)
	if got.text("properties.provisioningState") != "Failed" || got.text("properties.provisioningError.code") != "NameAlreadyExists" {
		t.Errorf("the store: %s", got.Raw)
	}
	w.must("DELETE", taken, nil)
	if got := w.do("PUT", fs, map[string]any{"kind": "FeatureStore"}); got.text("properties.provisioningState") != "Succeeded" || got.get("properties.provisioningError") != nil {
		t.Errorf("the same request again: %d %s", got.Status, got.Raw)
	}
	if got := w.do("GET", vault, nil); got.Status != 200 {
		t.Errorf("the vault: %d", got.Status)
	}
}
