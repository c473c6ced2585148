package arm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

func readings(path string) string {
	targets, err := ParseTarget(path)
	if err != nil {
		return "error"
	}
	var out []string
	for _, target := range targets {
		kind := "item"
		if target.Collection {
			kind = "list"
		}
		if target.Word != "" {
			kind = "word " + target.Word
		}
		out = append(out, fmt.Sprintf("%s %s of %s", kind, target.Type, target.ID))
	}
	return strings.Join(out, "; ")
}

func TestParseTarget(t *testing.T) {
	const s, g = "/subscriptions/s1", "/subscriptions/s1/resourceGroups/rg"
	const a = g + "/providers/Microsoft.Storage/storageAccounts/acct"
	for path, want := range map[string]string{
		"/":                           "item  of /",
		"/subscriptions":              "list Microsoft.Resources/subscriptions of /; word subscriptions  of /",
		s:                             "item Microsoft.Resources/subscriptions of " + s,
		"/SUBSCRIPTIONS/S1/":          "item Microsoft.Resources/subscriptions of " + s,
		s + "/resourcegroups":         "list Microsoft.Resources/subscriptions/resourceGroups of " + s + "; word resourcegroups Microsoft.Resources/subscriptions of " + s,
		s + "/RESOURCEGROUPS/rg":      "item Microsoft.Resources/subscriptions/resourceGroups of " + g,
		g + "/exportTemplate":         "word exportTemplate Microsoft.Resources/subscriptions/resourceGroups of " + g,
		a:                             "item Microsoft.Storage/storageAccounts of " + a,
		a + "/blobServices":           "list Microsoft.Storage/storageAccounts/blobServices of " + a + "; word blobServices Microsoft.Storage/storageAccounts of " + a,
		a[:strings.LastIndex(a, "/")]: "list Microsoft.Storage/storageAccounts of " + g + "; word storageAccounts Microsoft.Storage of " + g,
		a + "/providers/Microsoft.Authorization/roleAssignments": "list Microsoft.Authorization/roleAssignments of " + a + "; word roleAssignments Microsoft.Authorization of " + a,
		"/providers/Microsoft.Authorization/roleDefinitions/x":   "item Microsoft.Authorization/roleDefinitions of /providers/Microsoft.Authorization/roleDefinitions/x",
		// names that look like words of the path
		s + "/resourceGroups/providers":                              "item Microsoft.Resources/subscriptions/resourceGroups of " + s + "/resourceGroups/providers",
		s + "/resourceGroups/providers/providers/N.S/t/providers":    "item N.S/t of " + s + "/resourceGroups/providers/providers/N.S/t/providers",
		g + "/providers/N.S/t/providers/child":                       "list N.S/t/child of " + g + "/providers/N.S/t/providers; word child N.S/t of " + g + "/providers/N.S/t/providers",
		g + "/providers/N.S/t/providers/providers/M.A/r/x":           "item M.A/r of " + g + "/providers/N.S/t/providers/providers/M.A/r/x",
		g + "/providers/N.S/t/n/providers/M.A/r/x/providers/M.B/q/y": "item M.B/q of " + g + "/providers/N.S/t/n/providers/M.A/r/x/providers/M.B/q/y",
		"/subscriptions//resourceGroups/rg":                          "error",
		g + "/providers/N.S/t/../x":                                  "error",
		g + "/storageAccounts/acct":                                  "error",
		"/a/b/c":                                                     "error",
	} {
		if got := readings(path); got != want {
			t.Errorf("%s\n got %s\nwant %s", path, got, want)
		}
	}
}

// FuzzParseTarget: whatever is read names a place that reads the same again, in any case.
func FuzzParseTarget(f *testing.F) {
	for _, path := range []string{"/", "/subscriptions/s/resourceGroups/g/providers/N.S/t/n/c", "/providers/a/providers/b/c/d", "/providers/N.S/t/providers/providers/x/y/z", "//", "/x/y"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		targets, err := ParseTarget(path)
		if err != nil {
			if resource.KindOf(err) != resource.Invalid {
				t.Errorf("%q gives %v", path, err)
			}
			return
		}
		if len(targets) == 0 {
			t.Fatalf("%q is neither read nor refused", path)
		}
		for _, target := range targets {
			again, err := resource.ParseID(target.ID.String())
			if err != nil || !again.Equal(target.ID) {
				t.Errorf("%q gives the id %s, which reads as %s, %v", path, target.ID, again, err)
			}
			if !target.Collection && target.Word == "" && !target.ID.IsRoot() && !again.Type().Is(target.Type) {
				t.Errorf("%q gives the type %s for %s", path, target.Type, target.ID)
			}
		}
	})
}
