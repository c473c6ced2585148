package access_test

import (
	_ "embed"
	"encoding/json"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
)

//go:embed testdata/wildcards.json
var wildcards []byte

func TestMatchWildcardVectors(t *testing.T) {
	var vectors []struct {
		Pattern, Action, Why string
		Match                bool
	}
	if err := json.Unmarshal(wildcards, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 30 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	for _, v := range vectors {
		if got := access.Match(v.Pattern, v.Action); got != v.Match {
			t.Errorf("Match(%q, %q) = %v, want %v (%s)", v.Pattern, v.Action, got, v.Match, v.Why)
		}
		if got := naiveMatch(v.Pattern, v.Action); got != v.Match {
			t.Errorf("the naive matcher says %v of %q and %q, want %v", got, v.Pattern, v.Action, v.Match)
		}
	}
}

func TestMatchFoldsASCIIOnly(t *testing.T) {
	// The Kelvin sign folds to k under Unicode rules; an action spelled with it is another action.
	if access.Match("Microsoft.Storage/storageAccounts/listKeys/action", "Microsoft.Storage/storageAccounts/list\u212Aeys/action") {
		t.Error("the Kelvin sign counts as k")
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("*", "a.b/c")
	f.Add("a.b/*/c", "a.b/c")
	f.Add("a.b/*/*/c/*", "a.b/c/c/c")
	f.Add("*/a*/*/b", "x/ab/a/b")
	f.Add("a/*/b*c/*/d", "a/b/c/bc/c/d/d")
	f.Add("/*/", "/")
	f.Add("A.B/*", "a.b/")
	f.Add("*/*/*", "a/b")
	f.Fuzz(func(t *testing.T, pattern, action string) {
		if len(pattern) > 24 || len(action) > 32 || strings.Count(pattern, "*") > 5 {
			t.Skip("the naive matcher tries every length for every star")
		}
		if got, want := access.Match(pattern, action), naiveMatch(pattern, action); got != want {
			t.Errorf("Match(%q, %q) = %v, the rules say %v", pattern, action, got, want)
		}
	})
}
