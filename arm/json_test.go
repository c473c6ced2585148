package arm

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/alvara-ml/alvara/resource"
)

func TestDecodeObject(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1}`: "", ` {"a":{"b":[1,{"c":2}]}} `: "", `{"a":[{"b":1},{"b":2}]}`: "",
		``: "no body", `[]`: "an array", `"x"`: "a string", `null`: "null", `true`: "a boolean", `1`: "a number",
		`{"a":1,"a":2}`: "'a'", `{"a":1,"A":2}`: "'A'", `{"p":{"x":[{"k":1,"K":2}]}}`: "'p.x[0].K'", `{"tags":1,"tagſ":2}`: "'tagſ'",
		`{"a":1}{"b":2}`: "more after", `{"a":`: "ends too early", `{a:1}`: "not valid JSON", `{"a":1e999}`: "larger than any",
		strings.Repeat(`[`, 200): "100 levels", strings.Repeat(`{"a":`, 150) + `1` + strings.Repeat(`}`, 150): "100 levels",
	} {
		_, err := decodeObject([]byte(body))
		switch {
		case want == "" && err != nil:
			t.Errorf("%.60s: %v", body, err)
		case want != "" && (err == nil || resource.KindOf(err) != resource.Invalid || !strings.Contains(err.Error(), want)):
			t.Errorf("%.60s: error is %v; want one with %q", body, err, want)
		}
	}
}

// value makes any JSON value; names come from a few, so that objects overlap.
func value(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		if depth > 0 && rapid.Bool().Draw(t, "object") {
			object := map[string]any{}
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4, rapid.ID[string]).Draw(t, "names") {
				object[name] = value(depth-1).Draw(t, name)
			}
			return object
		}
		return rapid.SampledFrom([]any{nil, "x", 1.0, true, []any{nil, 1.0}}).Draw(t, "leaf")
	})
}

// naivePatch is RFC 7396 as it is written there.
func naivePatch(target, patch any) any {
	object, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out := map[string]any{}
	if old, ok := target.(map[string]any); ok {
		for name, value := range old {
			out[name] = value
		}
	}
	for name, value := range object {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = naivePatch(out[name], value)
		}
	}
	return out
}

func TestMergePatchAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target, _ := value(3).Draw(t, "target").(map[string]any)
		patch, _ := value(3).Draw(t, "patch").(map[string]any)
		before, _ := json.Marshal([]any{target, patch})
		got := mergePatch(target, patch)
		var want any = naivePatch(target, map[string]any(patch))
		if patch == nil {
			want = naivePatch(target, map[string]any{})
		}
		if !reflect.DeepEqual(any(got), want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		if after, _ := json.Marshal([]any{target, patch}); string(after) != string(before) {
			t.Fatal("the arguments were changed")
		}
	})
	got := mergePatch(map[string]any{"Tags": map[string]any{"Key": "1"}}, map[string]any{"tags": map[string]any{"KEY": nil, "new": "2"}})
	if want := map[string]any{"Tags": map[string]any{"new": "2"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("names in another case: %v", got)
	}
}

func TestReadIdentity(t *testing.T) {
	const id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/u"
	for _, c := range []struct {
		body, kind string
		held       int
		fault      string
	}{
		{`{"type":"systemassigned"}`, "SystemAssigned", 0, ""},
		{`{"type":"UserAssigned,SystemAssigned","userAssignedIdentities":{"` + id + `/":{}}}`, "SystemAssigned,UserAssigned", 1, ""},
		{`{"type":"UserAssigned","userAssignedIdentities":{"` + strings.ToLower(id) + `":{"principalId":"forged"}}}`, "UserAssigned", 1, ""},
		{`{"type":"None"}`, "None", 0, ""},
		{`{"type":"SystemAssigned","userAssignedIdentities":{"` + id + `":null}}`, "SystemAssigned", 0, ""},
		{`{"type":"UserAssigned"}`, "", 0, "names none"},
		{`{"type":"UserAssigned","userAssignedIdentities":{"` + id + `":null}}`, "", 0, "names none"},
		{`{"type":"SystemAssigned","userAssignedIdentities":{"` + id + `":{}}}`, "", 0, "identity.type is"},
		{`{"type":"Robot"}`, "", 0, "Robot"},
		{`{"type":"UserAssigned","userAssignedIdentities":{"x":{}}}`, "", 0, `"x"`},
		{`"SystemAssigned"`, "", 0, "identity"},
	} {
		var given any
		if err := json.Unmarshal([]byte(c.body), &given); err != nil {
			t.Fatal(err)
		}
		got, err := readIdentity(given)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: error is %v; want one with %q", c.body, err, c.fault)
			}
			continue
		}
		if err != nil || got.Type != c.kind || len(got.UserAssigned) != c.held {
			t.Errorf("%s: %+v, %v", c.body, got, err)
			continue
		}
		for _, entry := range got.UserAssigned {
			if entry.PrincipalID != "" {
				t.Errorf("%s: the caller says who the identity is", c.body)
			}
		}
	}
}
