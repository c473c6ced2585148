package content_test

import (
	"path"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/reference"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 127) + "/" + strings.Repeat("b", 127)
	for name, ok := range map[string]bool{
		"a": true, "team/app": true, "a.b_c__d-e--f/1": true, long: true,
		"": false, "A": false, "/a": false, "a/": false, "a//b": false, "..": false, "a/../b": false, "a/./b": false, ".a": false,
		"a..b": false, "a___b": false, "a._b": false, "-a": false, "a-": false, "_layers": false, "a/_uploads": false,
		"a:b": false, "a@b": false, "a b": false, "a%2fb": false, "a\\b": false, "a\n": false, "a\x00": false, "ä": false, long + "b": false,
	} {
		if err := content.CheckRepositoryName(name); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", name, err, ok)
		} else if e, _ := resource.AsError(err); err != nil && e.Code != "NAME_INVALID" {
			t.Errorf("%q: code %s", name, e.Code)
		}
	}
	for tag, ok := range map[string]bool{
		"latest": true, "V1.0-rc_1": true, "_x": true, strings.Repeat("a", 128): true,
		"": false, ".x": false, "-x": false, "a/b": false, "..": false, "a:b": false, "a\n": false, strings.Repeat("a", 129): false,
	} {
		if err := content.CheckTag(tag); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", tag, err, ok)
		}
	}
	hex := strings.Repeat("0", 64)
	for digest, ok := range map[string]bool{
		"sha256:" + hex: true, "sha256:" + hex[1:]: false, "sha256:" + hex + "0": false, "sha256:" + strings.Repeat("A", 64): false,
		"sha512:" + hex + hex: false, "sha256:../" + hex[3:]: false, hex: false, "": false, "sha256:" + hex + "\n": false,
	} {
		if err := content.CheckDigest(digest); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", digest, err, ok)
		}
	}
}

// FuzzRepositoryName holds the grammar against the one of the reference library, and against what drivers and paths can bear.
func FuzzRepositoryName(f *testing.F) {
	for _, seed := range []string{"a", "team/app", "../x", "a//b", "a/_uploads/b", "a.b", "A/b", "a__b", "a--b", "x:y", "\x00", "a/./b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		err := content.CheckRepositoryName(name)
		anchored := reference.ParseNormalizedNamed
		named, theirs := anchored("registry.example/" + name)
		if wanted := theirs == nil && named.Name() == "registry.example/"+name && len(name) <= content.MaxName; wanted != (err == nil) {
			// The library counts its 255 characters with the host in it.
			if !(err == nil && len("registry.example/"+name) > 255) {
				t.Fatalf("%q: %v, and the reference library says %v", name, err, theirs)
			}
		}
		if err != nil {
			return
		}
		if path.Clean("/"+name) != "/"+name || !driver.PathRegexp.MatchString("/"+name) || strings.Contains("/"+name, "/_") {
			t.Fatalf("%q is a path with tricks", name)
		}
	})
}
