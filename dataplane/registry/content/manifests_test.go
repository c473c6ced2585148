package content_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

// bad are manifests that are refused, each with a word of the reason. The blobs "{}" and "layer" are there.
func bad() map[string]struct{ mediaType, body, reason string } {
	good := image("{}", []string{"layer"}, "")
	change := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	return map[string]struct{ mediaType, body, reason string }{
		"garbage":            {content.MediaTypeImage, "garbage", "JSON"},
		"empty":              {content.MediaTypeImage, "", "JSON"},
		"array":              {content.MediaTypeImage, "[]", "JSON"},
		"trailing":           {content.MediaTypeImage, good + "x", "JSON"},
		"other type":         {content.MediaTypeIndex, good, "both must be the same"},
		"no type":            {"", change(`"mediaType":"`+content.MediaTypeImage+`",`, ""), "not supported"},
		"unknown type":       {"application/json", change(content.MediaTypeImage, "application/json"), "not supported"},
		"not a type":         {"a/b/c", good, "media type"},
		"schema 1":           {"", change(`"schemaVersion":2`, `"schemaVersion":1`), "schemaVersion"},
		"no config":          {"", change(`"config"`, `"cnfg"`), `"config"`},
		"no layers":          {"", change(`"layers"`, `"lyrs"`), `"layers"`},
		"both":               {"", change(`"layers"`, `"manifests":[],"layers"`), "two ways"},
		"index with layers":  {"", strings.Replace(index(), `"manifests"`, `"layers":[],"manifests"`, 1), "two ways"},
		"index of nothing":   {"", strings.Replace(index(), `"manifests"`, `"mnfsts"`, 1), `"manifests"`},
		"bad digest":         {"", change(sum("layer"), "sha256:../../etc/passwd"), "no digest"},
		"bad subject":        {"", change(`"layers"`, `"subject":{},"layers"`), `"subject"`},
		"sha512 layer":       {"", change(sum("layer"), "sha512:"+strings.Repeat("a", 128)), "sha512"},
		"negative size":      {"", change(`"size":5`, `"size":-5`), "no size"},
		"wrong size":         {"", change(`"size":5`, `"size":6`), "6 bytes"},
		"size that is text":  {"", change(`"size":5`, `"size":"5"`), "JSON"},
		"layer without type": {"", change(`"application/vnd.oci.image.layer.v1.tar"`, `""`), "mediaType"},
	}
}

func TestBadManifests(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.pushBlob("app", "{}")
		w.pushBlob("app", "layer")
		for name, c := range bad() {
			_, err := w.PutManifest(w.ctx, "app", "1", c.mediaType, []byte(c.body))
			e, ok := resource.AsError(err)
			if !ok || e.Code != "MANIFEST_INVALID" || !strings.Contains(e.Message, c.reason) {
				t.Errorf("%s: %v, want a MANIFEST_INVALID that tells of %q", name, err, c.reason)
			}
		}
		big := image("{}", nil, "")
		big = strings.Replace(big, "{", `{"annotations":{"x":"`+strings.Repeat("x", 10<<20)+`"},`, 1)
		_, err := w.PutManifest(w.ctx, "app", "1", "", []byte(big))
		w.refused(err, resource.TooLarge, "MANIFEST_INVALID")
		_, err = w.PutManifest(w.ctx, "app", "1", "", []byte(image("{}", []string{"absent"}, "")))
		w.refused(err, resource.Invalid, "MANIFEST_BLOB_UNKNOWN")
		_, err = w.PutManifest(w.ctx, "app", "1", "", []byte(index(image("{}", nil, ""))))
		w.refused(err, resource.Invalid, "MANIFEST_BLOB_UNKNOWN")
		disguised := strings.Replace(image("{}", []string{"absent"}, ""), "application/vnd.oci.image.layer.v1.tar", content.MediaTypeImage, 1)
		_, err = w.PutManifest(w.ctx, "app", "1", "", []byte(disguised))
		w.refused(err, resource.Invalid, "MANIFEST_BLOB_UNKNOWN")
		_, err = w.PutManifest(w.ctx, "app", sum("x"), "", []byte(image("{}", nil, "")))
		w.refused(err, resource.Invalid, "DIGEST_INVALID")
		_, err = w.PutManifest(w.ctx, "../app", "1", "", []byte(image("{}", nil, "")))
		w.refused(err, resource.Invalid, "NAME_INVALID")
		_, err = w.PutManifest(w.ctx, "app", "../1", "", []byte(image("{}", nil, "")))
		w.refused(err, resource.Invalid, "TAG_INVALID")
		_, err = w.Repository(w.ctx, "app")
		w.refused(err, resource.NotFound, "NAME_UNKNOWN")
	})
}

func FuzzManifest(f *testing.F) {
	w := inMemory(f)
	w.pushBlob("app", "{}")
	w.pushBlob("app", "layer")
	f.Add("", image("{}", []string{"layer"}, ""))
	f.Add("", index(image("{}", nil, "")))
	for _, c := range bad() {
		f.Add(c.mediaType, c.body)
	}
	f.Fuzz(func(t *testing.T, mediaType, body string) {
		pushed, err := w.PutManifest(w.ctx, "app", "1", mediaType, []byte(body))
		if err != nil {
			if resource.KindOf(err) == resource.Internal {
				t.Fatalf("%v is not the client's fault", err)
			}
			return
		}
		if got, err := w.tryPull("app", "1"); err != nil || got != pushed.Digest || got != sum(body) {
			t.Fatalf("pushed %s and pulled %s, %v", pushed.Digest, got, err)
		}
	})
}

func TestForeignLayersNeedNotBeThere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.pushBlob("app", "{}")
		layer := map[string]any{
			"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": sum("elsewhere"), "size": 9,
			"urls": []string{"https://example.org/layer"},
		}
		body := text(map[string]any{
			"schemaVersion": 2, "config": descriptor("application/vnd.docker.container.image.v1+json", sum("{}"), 2), "layers": []any{layer},
		})
		_, err := w.PutManifest(w.ctx, "app", "1", content.MediaTypeDockerImage+"; charset=utf-8", []byte(body))
		w.must(err)
		m, got, err := w.Manifest(w.ctx, "app", "1")
		w.must(err)
		equal(t, []any{m.MediaType, string(got)}, []any{content.MediaTypeDockerImage, body})
		layer["urls"] = []string{}
		body = strings.Replace(body, `["https://example.org/layer"]`, `[]`, 1)
		_, err = w.PutManifest(w.ctx, "app", "2", content.MediaTypeDockerImage, []byte(body))
		w.refused(err, resource.Invalid, "MANIFEST_BLOB_UNKNOWN")
	})
}

func TestTagsMoveAndGo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.push("app", "1", "a")
		w.put("app", "latest", named("a"))
		w.clock.pass(time.Minute)
		b := w.push("app", "latest", "b")
		equal(t, w.pull("app", "latest"), b)
		m, err := w.DescribeManifest(w.ctx, "app", a)
		w.must(err)
		equal(t, m.Tags, []string{"1"})
		tag, err := w.DescribeTag(w.ctx, "app", "latest")
		w.must(err)
		equal(t, []any{tag.Digest, tag.Updated.Sub(tag.Created)}, []any{b, time.Minute})

		w.put("app", "2", named("b"))
		w.must(w.DeleteManifest(w.ctx, "app", b)) // goes with all its tags
		for _, gone := range []string{"latest", "2", b} {
			_, err := w.StatManifest(w.ctx, "app", gone)
			w.refused(err, resource.NotFound, "MANIFEST_UNKNOWN")
		}
		err = w.DeleteManifest(w.ctx, "app", b)
		w.refused(err, resource.NotFound, "MANIFEST_UNKNOWN")
		err = w.DeleteTag(w.ctx, "app", "2")
		w.refused(err, resource.NotFound, "TAG_UNKNOWN")
		w.must(w.DeleteTag(w.ctx, "app", "1"))
		equal(t, w.pull("app", a), a)
		tags, err := w.Tags(w.ctx, "app", "", content.Page{})
		w.must(err)
		equal(t, len(tags), 0)
	})
}

func TestLists(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, name := range []string{"b", "a/b", "a1", "a-b", "c"} {
			w.push(name, "x", "same")
		}
		names, err := w.Repositories(w.ctx, "", 0)
		w.must(err)
		equal(t, names, []string{"a-b", "a/b", "a1", "b", "c"})
		no := false
		_, err = w.SetRepositoryAttributes(w.ctx, "a1", content.Changes{ListEnabled: &no})
		w.must(err)
		names, err = w.Repositories(w.ctx, "a-b", 2)
		w.must(err)
		equal(t, names, []string{"a/b", "b"})
		names, err = w.Repositories(w.ctx, "b", 10)
		w.must(err)
		equal(t, names, []string{"c"})

		var digests []string
		for _, tag := range []string{"b", "A", "a", "B1"} {
			w.clock.pass(time.Second)
			digests = append(digests, w.push("app", tag, "image "+tag))
		}
		list := func(digest string, page content.Page) (names []string) {
			tags, err := w.Tags(w.ctx, "app", digest, page)
			w.must(err)
			for _, tag := range tags {
				names = append(names, tag.Name)
			}
			return names
		}
		equal(t, list("", content.Page{}), []string{"A", "B1", "a", "b"})
		equal(t, list("", content.Page{After: "B", Limit: 2}), []string{"B1", "a"})
		equal(t, list("", content.Page{Order: content.OldestFirst, After: "b", Limit: 2}), []string{"A", "a"})
		equal(t, list("", content.Page{Order: content.NewestFirst}), []string{"B1", "a", "A", "b"})
		equal(t, list(digests[1], content.Page{}), []string{"A"})
		_, err = w.SetTagAttributes(w.ctx, "app", "a", content.Changes{ListEnabled: &no})
		w.must(err)
		equal(t, list("", content.Page{}), []string{"A", "B1", "b"})
		_, err = w.Tags(w.ctx, "none", "", content.Page{})
		w.refused(err, resource.NotFound, "NAME_UNKNOWN")

		manifests, err := w.Manifests(w.ctx, "app", content.Page{Order: content.NewestFirst, After: digests[3], Limit: 2})
		w.must(err)
		equal(t, []string{manifests[0].Digest, manifests[1].Digest}, []string{digests[2], digests[1]})
		_, err = w.SetManifestAttributes(w.ctx, "app", digests[0], content.Changes{ListEnabled: &no})
		w.must(err)
		manifests, err = w.Manifests(w.ctx, "app", content.Page{})
		w.must(err)
		equal(t, len(manifests), 3)
		if !(manifests[0].Digest < manifests[1].Digest && manifests[1].Digest < manifests[2].Digest) {
			t.Error("manifests are not in the order of their digests")
		}
	})
}

func TestReferrers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.pushBlob("app", "{}")
		w.pushBlob("app", "signature")
		w.pushBlob("app", config("a"))
		w.pushBlob("app", "layer a")
		subject := sum(named("a"))
		signed := strings.Replace(image("{}", []string{"signature"}, subject), `"layers"`,
			`"artifactType":"example/signature","annotations":{"by":"me"},"layers"`, 1)
		pushed, err := w.PutManifest(w.ctx, "app", sum(signed), "", []byte(signed)) // before the subject
		w.must(err)
		equal(t, pushed, content.Pushed{Digest: sum(signed), Subject: subject})
		plain := w.put("app", "plain", image("{}", nil, subject))
		list, err := w.Referrers(w.ctx, "app", subject, "example/signature")
		w.must(err)
		equal(t, list, []content.Descriptor{{
			MediaType: content.MediaTypeImage, Digest: sum(signed), Size: int64(len(signed)),
			ArtifactType: "example/signature", Annotations: map[string]string{"by": "me"},
		}})
		list, err = w.Referrers(w.ctx, "app", subject, "application/vnd.oci.image.config.v1+json")
		w.must(err)
		equal(t, len(list), 1)
		equal(t, list[0].Digest, plain)
		w.put("app", "1", named("a"))
		w.must(w.DeleteManifest(w.ctx, "app", subject)) // they outlive it
		list, err = w.Referrers(w.ctx, "app", subject, "")
		w.must(err)
		equal(t, len(list), 2)
		w.must(w.DeleteManifest(w.ctx, "app", plain))
		list, err = w.Referrers(w.ctx, "app", subject, "")
		w.must(err)
		equal(t, len(list), 1)
		list, err = w.Referrers(w.ctx, "other", subject, "")
		w.must(err)
		equal(t, len(list), 0)
	})
}

func TestIndexKnowsItsPlatforms(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("app", "c", "child")
		body := strings.Replace(index(named("child")), `"size"`, `"platform":{"architecture":"arm64","os":"linux"},"size"`, 1)
		d := w.put("app", "multi", body)
		m, err := w.DescribeManifest(w.ctx, "app", d)
		w.must(err)
		equal(t, fmt.Sprint(m.Platforms), fmt.Sprintf("[{%s arm64 linux}]", sum(named("child"))))
		w.pull("app", "multi")
	})
}

// BuildKit pushes a cache as an index of layers and a config of its own.
func TestIndexOfBlobs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		body := text(map[string]any{"schemaVersion": 2, "mediaType": content.MediaTypeIndex, "manifests": []any{
			descriptor("application/vnd.oci.image.layer.v1.tar+gzip", sum("layer"), 5),
			descriptor("application/vnd.buildkit.cacheconfig.v0", sum("{}"), 2),
		}})
		w.pushBlob("app", "{}")
		_, err := w.PutManifest(w.ctx, "app", "cache", "", []byte(body))
		w.refused(err, resource.Invalid, "MANIFEST_BLOB_UNKNOWN")
		w.pushBlob("app", "layer")
		w.put("app", "cache", body)
		w.clock.pass(2 * time.Hour)
		equal(t, w.collect(time.Hour, time.Hour), content.Report{})
		_, err = w.read("app", sum("layer"))
		w.must(err)
	})
}
