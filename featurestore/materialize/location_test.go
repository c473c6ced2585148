package materialize

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

// Other engines are told an address that they can open where there is one.
func TestTableLocation(t *testing.T) {
	place := Location{Account: "store1", Container: "offline"}
	for blob, want := range map[string]string{
		"https://127.0.0.1:10000":               "https://127.0.0.1:10000/store1/offline",
		"https://{account}.blob.example.org:10": "abfss://offline@store1.dfs.example.org:10",
		"":                                      "",
	} {
		if got := (&Worker{Blob: blob}).location(place); got != want {
			t.Errorf("%q: %q, want %q", blob, got, want)
		}
	}
}

// A refusal that says itself which role helps is not told so again.
func TestCureOnce(t *testing.T) {
	r := &run{order: Order{Identity: "id1"}}
	place := Location{Account: "store1", Container: "lake"}
	for refusal, times := range map[string]int{"no right.": 1, "no right. It is granted by 'Storage Blob Data Reader'.": 1} {
		message := r.explain(resource.Forbiddenf("AuthorizationFailed", "%s", refusal), "source", place).Error()
		if strings.Count(message, "Storage Blob Data Reader") != times || !strings.Contains(message, "identity id1 lacks a right on the source") {
			t.Errorf("%q", message)
		}
	}
}
