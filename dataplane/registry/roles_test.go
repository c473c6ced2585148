package registry

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

// The rights of a column of the matrix, as letters: p pull, u push, d delete, c catalog of all, o catalog of its own
// repositories, r read metadata, w write metadata.
var matrix = []struct {
	who    string
	role   string
	scope  func() resource.ID
	rights string
}{
	{"AcrPull", "AcrPull", alpha, "pcr"},
	{"AcrPush", "AcrPush", alpha, "pucrw"},
	{"AcrDelete", "AcrDelete", alpha, "d"},
	{"Reader", "Reader", alpha, "pcr"},
	{"Owner", "Owner", alpha, "pudcrw"},
	{"Contributor", "Contributor", alpha, "pudcrw"},
	{"Contributor of the group", "Contributor", func() resource.ID {
		return resource.MustParseID("/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/rg1")
	}, "pudcrw"},
	{"repository reader", "Container Registry Repository Reader", alpha, "por"},
	{"repository writer", "Container Registry Repository Writer", alpha, "puorw"},
	{"repository contributor", "Container Registry Repository Contributor", alpha, "pudorw"},
	{"catalog lister", "Container Registry Repository Catalog Lister", alpha, "c"},
	{"AcrPull on the repository", "AcrPull", func() resource.ID { return RepositoryScope(alpha(), "team/app") }, "por"},
	{"AcrPush on the repository", "AcrPush", func() resource.ID { return RepositoryScope(alpha(), "team/app") }, "puorw"},
	{"AcrPull on another repository", "AcrPull", func() resource.ID { return RepositoryScope(alpha(), "team/other") }, "x"},
	{"AcrPull on a repository with a longer name", "AcrPull", func() resource.ID { return RepositoryScope(alpha(), "team/app2") }, "n"},
	{"AcrPull on the folder of the name", "AcrPull", func() resource.ID { return RepositoryScope(alpha(), "team") }, "n"},
	{"AcrPush on another registry", "AcrPush", func() resource.ID { return registryID("beta") }, ""},
	{"Storage Blob Data Owner", "Storage Blob Data Owner", alpha, ""},
	{"nobody", "", alpha, ""},
}

func alpha() resource.ID { return registryID("alpha") }

// MI-08, BX-05: who may do what, by role and scope; each refusal says what is missing, and each decision is recorded with
// the identity.
func TestRoles(t *testing.T) {
	w := newWorld(t)
	w.grant("root", "Owner", resource.Root)
	everything := w.as("root", "team/app", "team/other")
	w.pushImage(everything, "team/other", "v1", "other")
	w.pushImage(everything, "team/app", "v1", "kept")
	for at, row := range matrix {
		name := fmt.Sprintf("person%d", at)
		if row.role != "" {
			w.grant(name, row.role, row.scope())
		}
		header := w.as(name, "team/app", "team/other")
		config := []byte("{}")
		w.pushBlob(everything, "team/app", config)
		layer := []byte("layer of " + name)
		w.pushBlob(everything, "team/app", layer)
		manifest := manifestOf(config, layer)
		w.must(201, call{method: "PUT", path: "/v2/team/app/manifests/victim", header: with(everything, "Content-Type", manifestType), body: manifest})
		victim := digestOf(manifest)

		for _, c := range []struct {
			right  string
			call   call
			status int
			action string
		}{
			{"p", call{method: "GET", path: "/v2/team/app/manifests/v1"}, 200, ActionPull},
			{"p", call{method: "HEAD", path: "/v2/team/app/manifests/v1"}, 200, ActionPull},
			{"p", call{method: "GET", path: "/v2/team/app/blobs/" + digestOf(layer)}, 200, ActionPull},
			{"p", call{method: "HEAD", path: "/v2/team/app/blobs/" + digestOf(layer)}, 200, ActionPull},
			{"p", call{method: "GET", path: "/v2/team/app/referrers/" + victim}, 200, ActionPull},
			{"pr", call{method: "GET", path: "/v2/team/app/tags/list"}, 200, ActionPull},
			{"u", call{method: "POST", path: "/v2/team/app/blobs/uploads/"}, 202, ActionPush},
			{"u", call{method: "POST", path: "/v2/team/app/blobs/uploads/?digest=" + digestOf([]byte(name)), body: []byte(name)}, 201, ActionPush},
			{"u", call{method: "PUT", path: "/v2/team/app/manifests/pushed", header: http.Header{"Content-Type": {manifestType}}, body: manifest}, 201, ActionPush},
			{"c", call{method: "GET", path: "/v2/_catalog"}, 200, ActionPull},
			{"c", call{method: "GET", path: "/acr/v1/_catalog"}, 200, ActionPull},
			{"r", call{method: "GET", path: "/acr/v1/team/app"}, 200, ActionPull},
			{"r", call{method: "GET", path: "/acr/v1/team/app/_tags"}, 200, ActionPull},
			{"r", call{method: "GET", path: "/acr/v1/team/app/_tags/v1"}, 200, ActionPull},
			{"r", call{method: "GET", path: "/acr/v1/team/app/_manifests"}, 200, ActionPull},
			{"r", call{method: "GET", path: "/acr/v1/team/app/_manifests/" + victim}, 200, ActionPull},
			{"w", call{method: "PATCH", path: "/acr/v1/team/app", body: []byte(`{"listEnabled":true}`)}, 200, ActionPush},
			{"w", call{method: "PATCH", path: "/acr/v1/team/app/_tags/v1", body: []byte(`{"listEnabled":true}`)}, 200, ActionPush},
			{"w", call{method: "PATCH", path: "/acr/v1/team/app/_manifests/" + victim, body: []byte(`{"listEnabled":true}`)}, 200, ActionPush},
			{"d", call{method: "DELETE", path: "/acr/v1/team/app/_tags/victim"}, 202, ActionDelete},
			{"d", call{method: "DELETE", path: "/v2/team/app/manifests/" + victim}, 202, ActionDelete},
			{"d", call{method: "DELETE", path: "/v2/team/app/blobs/" + digestOf(layer)}, 202, ActionDelete},
		} {
			before := len(w.audit.Records())
			for header, values := range header {
				if c.call.header == nil {
					c.call.header = http.Header{}
				}
				c.call.header[header] = values
			}
			a := w.do(c.call)
			allowed := strings.ContainsAny(row.rights, c.right)
			records := w.audit.Records()[before:]
			where := fmt.Sprintf("%s: %s %s", row.who, c.call.method, c.call.path)
			if c.right == "c" {
				w.checkCatalog(where, row.rights, a)
				allowed = a.status == 200
			} else if want := map[bool]int{true: c.status, false: 403}[allowed]; a.status != want {
				t.Errorf("%s: %d %s, expected %d", where, a.status, a.body, want)
			}
			if !allowed && c.call.method != "HEAD" && (a.codes() != "DENIED" || !strings.Contains(string(a.body), c.action) || !strings.Contains(string(a.body), alpha().String())) {
				t.Errorf("%s: the refusal does not say what is missing: %s", where, a.body)
			}
			if len(records) != 1 || records[0].Allowed != allowed || records[0].Principal != w.person(name) || records[0].Plane != "registry" {
				t.Errorf("%s: recorded as %+v", where, records)
			}
		}
	}
}

// checkCatalog: with a right on the registry the list is whole, with one on a repository it has that one, with one on a
// repository that is not there it is empty, and with none it is refused.
func (w *world) checkCatalog(where, rights string, a answer) {
	w.t.Helper()
	want := `403`
	switch {
	case strings.Contains(rights, "c"):
		want = `200 {"repositories":["team/app","team/other"]}`
	case strings.Contains(rights, "x"):
		want = `200 {"repositories":["team/other"]}`
	case strings.Contains(rights, "n"):
		want = `200 {"repositories":[]}`
	case strings.Contains(rights, "o"):
		want = `200 {"repositories":["team/app"`
	}
	if got := fmt.Sprintf("%d %s", a.status, a.body); !strings.HasPrefix(got, want) {
		w.t.Errorf("%s: %s, expected %s", where, got, want)
	}
}

// A blob is mounted only from where the caller may pull; otherwise the answer is that of a blob that is not there.
func TestMountNeedsPullOnTheSource(t *testing.T) {
	w := newWorld(t)
	w.grant("root", "Owner", resource.Root)
	everything := w.as("root", "secret/app", "team/app")
	digest := w.pushBlob(everything, "secret/app", []byte("secret"))
	mount := call{method: "POST", path: "/v2/team/app/blobs/uploads/?mount=" + digest + "&from=secret/app"}

	w.grant("pusher", "AcrPush", RepositoryScope(alpha(), "team/app"))
	mount.header = w.as("pusher", "secret/app", "team/app")
	refused := w.must(202, mount)
	absent := mount
	absent.path = strings.Replace(mount.path, digest, noDigest, 1)
	other := w.must(202, absent)
	if refused.header.Get("Location") == "" || len(refused.header) != len(other.header) || len(refused.body) != len(other.body) {
		t.Errorf("the answers differ:\n%v\n%v", refused.header, other.header)
	}
	if a := w.do(call{method: "HEAD", path: "/v2/team/app/blobs/" + digest, header: mount.header}); a.status != 404 {
		t.Errorf("the blob is there all the same: %d", a.status)
	}
	w.grant("pusher", "AcrPull", RepositoryScope(alpha(), "secret/app"))
	narrow := mount
	narrow.header = w.as("pusher", "team/app")
	w.must(202, narrow) // the token does not carry the source
	w.must(201, mount)
	w.must(200, call{method: "HEAD", path: "/v2/team/app/blobs/" + digest, header: mount.header})
}

// Without a right, what is there cannot be told from what is not.
func TestStrangersLearnNothing(t *testing.T) {
	w := newWorld(t)
	w.grant("root", "Owner", resource.Root)
	w.pushImage(w.as("root", "team/app"), "team/app", "v1", "")
	header := w.as("stranger", "team/app", "team/nil")
	for _, path := range []string{"/v2/%s/manifests/v1", "/v2/%s/tags/list", "/v2/%s/blobs/" + digestOf([]byte("layer ")), "/acr/v1/%s", "/acr/v1/%s/_tags/v1"} {
		there := w.do(call{method: "GET", path: fmt.Sprintf(path, "team/app"), header: header})
		gone := w.do(call{method: "GET", path: fmt.Sprintf(path, "team/nil"), header: header})
		if there.status != 403 || gone.status != 403 || strings.ReplaceAll(string(there.body), "app", "nil") != strings.ReplaceAll(string(gone.body), "app", "nil") {
			t.Errorf("%s: %d %s\n%d %s", path, there.status, there.body, gone.status, gone.body)
		}
	}
}
