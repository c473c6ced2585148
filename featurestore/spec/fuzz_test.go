package spec

import (
	"reflect"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

// mustBeInvalid fails on an error that a caller could not understand.
func mustBeInvalid(t *testing.T, err error) {
	t.Helper()
	if e, ok := resource.AsError(err); !ok || e.Kind != resource.Invalid || e.Message == "" || e.Code == "" {
		t.Fatalf("the error is no explained one: %v", err)
	}
}

// FuzzParse: no input panics, an accepted document survives its canonical form, a refused one says why.
func FuzzParse(f *testing.F) {
	for _, text := range []string{transactionsYAML, minimalYAML, minimalYAML + "feature_transformation: {transformation_sql: {path: t.sql}}\n",
		"", "[", "a: &x [*x]", "? {a: b}\n: c", "source: !!binary x", "- - - -", "a:\n\tb: c", "<<: {a: b}", "source:\n", "{source: {}}", "%TAG ! x\n---\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(map[string][]byte{FileName: []byte(text), "t.sql": []byte("SELECT * FROM source")})
		for _, parse := range []func(string, []byte) error{
			func(n string, d []byte) error { _, err := ParseFeatureStore(n, d); return err },
			func(n string, d []byte) error { _, err := ParseFeatureSet(n, d); return err },
			func(n string, d []byte) error { _, err := ParseEntity(n, d); return err },
			func(n string, d []byte) error { _, err := ParseRetrievalSpec(n, d); return err },
		} {
			if err := parse("f.yaml", []byte(text)); err != nil {
				mustBeInvalid(t, err)
			}
		}
		if err != nil {
			mustBeInvalid(t, err)
			return
		}
		files, err := s.Files()
		if err != nil {
			t.Fatalf("%v\n%+v", err, s)
		}
		back, err := Parse(files)
		if err != nil || !reflect.DeepEqual(s, back) {
			t.Fatalf("%v\n%s\n%+v\n%+v", err, files[FileName], s, back)
		}
	})
}

// FuzzParseSource: an accepted source has a place, and a path that stays inside it.
func FuzzParseSource(f *testing.F) {
	for _, text := range []string{"wasbs://data@acct.blob.host/a/*.parquet", "abfss://data@acct.dfs.host:1/", "https://127.0.0.1:1/acct/data/%2A",
		"https://[::1]:1/acct/data/x", "azureml://datastores/d/paths/**", "azureml://subscriptions/s/resourcegroups/r/workspaces/w/datastores/d/paths/x", "https://"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSource(text)
		if err != nil {
			mustBeInvalid(t, err)
			return
		}
		if s.Scheme == SchemeAzureML && s.Datastore == "" || s.Scheme != SchemeAzureML && (s.Account == "" || s.Container == "" || !strings.HasPrefix(s.Endpoint, "https://")) {
			t.Fatalf("%q has no place: %+v", text, s)
		}
		for _, segment := range strings.Split(s.Path, "/") {
			if segment == ".." || segment == "." || segment == "" && s.Path != "" {
				t.Fatalf("%q gives the path %q", text, s.Path)
			}
		}
		if !IsGlob(s.Path) && s.Path != "" && !s.Match(s.Path) || checkGlob(s.Path) != "" {
			t.Fatalf("%q does not match itself", text)
		}
	})
}

// FuzzParseFeatureRef: an accepted reference writes itself as it was read.
func FuzzParseFeatureRef(f *testing.F) {
	for _, text := range []string{"transactions:1", "accounts:1:accountAge", "p=a:1:b", "::", "=", "a:1:é"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseFeatureRef(text)
		if err != nil {
			mustBeInvalid(t, err)
			return
		}
		if ref.String() != text {
			t.Fatalf("%q is written %q", text, ref)
		}
	})
}

// FuzzGlob: no pair panics, and a match starts with the literal prefix.
func FuzzGlob(f *testing.F) {
	f.Add("a/**/*.parquet", "a/b/c.parquet")
	f.Add("[!]-a]*", "é")
	f.Add("[", "[")
	f.Add("[a-", "\xff")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if MatchGlob(pattern, name) && !strings.HasPrefix(name, GlobPrefix(pattern)) {
			t.Fatalf("%q matches %q", pattern, name)
		}
		if !strings.ContainsAny(pattern, "*?[{}") && !MatchGlob(pattern, pattern) {
			t.Fatalf("%q does not match itself", pattern)
		}
	})
}
