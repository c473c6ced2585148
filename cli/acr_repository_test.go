package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// guarded lets a handler answer only to the token for the scope that it asks for.
func guarded(scope string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer access for " + scope, "Bearer admin for " + scope:
			next(w, r)
		default:
			header := strings.Replace(challengeHeader, "repository:scorer:pull", scope, 1)
			says(401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, "WWW-Authenticate", header)(w, r)
		}
	}
}

func repositoryPlant(t *testing.T, more map[string]http.HandlerFunc) *plant {
	routes := registryRoutes()
	maps.Copy(routes, map[string]http.HandlerFunc{
		"GET /acr/v1/_catalog": guarded("registry:catalog:*", func(w http.ResponseWriter, r *http.Request) {
			all := []string{"a", "b", "team/c"}
			at := 0
			for i, name := range all {
				if name == r.URL.Query().Get("last") {
					at = i + 1
				}
			}
			var n int
			fmt.Sscan(r.URL.Query().Get("n"), &n)
			end := min(at+min(n, 2), len(all))
			if end < len(all) {
				w.Header().Set("Link", fmt.Sprintf(`</acr/v1/_catalog?last=%s&n=%d>; rel="next"`, all[end-1], n))
			}
			text, _ := json.Marshal(map[string]any{"repositories": all[at:end]})
			w.Write(text)
		}),
		"GET /acr/v1/team/scorer":                          guarded("repository:team/scorer:metadata_read", says(200, `{"imageName":"team/scorer","tagCount":2,"changeableAttributes":{"deleteEnabled":true}}`)),
		"PATCH /acr/v1/team/scorer":                        guarded("repository:team/scorer:metadata_write", says(200, `{}`)),
		"DELETE /acr/v1/team/scorer":                       guarded("repository:team/scorer:delete", says(202, `{"manifestsDeleted":["`+someDigest+`"],"tagsDeleted":["1"]}`)),
		"GET /acr/v1/team/scorer/_tags/1":                  guarded("repository:team/scorer:metadata_read", says(200, `{"imageName":"team/scorer","tag":{"name":"1","digest":"`+someDigest+`"}}`)),
		"GET /acr/v1/team/scorer/_tags/latest":             guarded("repository:team/scorer:metadata_read", says(404, `{"errors":[{"code":"TAG_UNKNOWN","message":"there is no tag latest"}]}`)),
		"DELETE /acr/v1/team/scorer/_tags/1":               guarded("repository:team/scorer:delete", says(202, ``)),
		"GET /acr/v1/team/scorer/_tags":                    guarded("repository:team/scorer:metadata_read", says(200, `{"imageName":"team/scorer","tags":[{"name":"2","digest":"d2"},{"name":"1","digest":"d1"}]}`)),
		"GET /acr/v1/team/scorer/_manifests":               guarded("repository:team/scorer:metadata_read", says(200, `{"imageName":"team/scorer","manifests":[{"digest":"d1","tags":["1","x"],"lastUpdateTime":"T1","imageSize":5},{"digest":"d2","lastUpdateTime":"T2"}]}`)),
		"GET /acr/v1/team/scorer/_manifests/" + someDigest: guarded("repository:team/scorer:metadata_read", says(200, `{"manifest":{"digest":"`+someDigest+`","tags":["1","x"]}}`)),
		"DELETE /v2/team/scorer/manifests/" + someDigest:   guarded("repository:team/scorer:delete", says(202, ``)),
	})
	maps.Copy(routes, more)
	return newPlant(t, routes)
}

// What each command sends once it is let in, with which query and body, and what it prints.
func TestRepositoryCommandsOnTheWire(t *testing.T) {
	p := repositoryPlant(t, nil)
	const manifest = "/acr/v1/team/scorer/_manifests/" + someDigest
	for _, c := range []struct {
		line   string
		last   string // the last request with its query
		body   string
		stdout string
	}{
		{"repository list -n HOST -o tsv", "GET /acr/v1/_catalog?last=b&n=100", "", "a\nb\nteam/c\n"},
		{"repository list -n HOST --top 1 -o tsv", "GET /acr/v1/_catalog?n=1", "", "a\n"},
		{"repository list -n HOST --top 3 --query length(@)", "GET /acr/v1/_catalog?last=b&n=1", "", "3\n"},
		{"repository list -n HOST -u fraudacr -p pw -o table", "GET /acr/v1/_catalog?last=b&n=100", "", "RESULT\n"},
		{"repository show -n HOST --repository team/scorer --query [imageName,tagCount] -o tsv", "GET /acr/v1/team/scorer", "", "team/scorer\n2\n"},
		{"repository show -n HOST --image team/scorer:1 --query name -o tsv", "GET /acr/v1/team/scorer/_tags/1", "", "1\n"},
		{"repository show -n HOST -t HOST/team/scorer:1 --query name -o tsv", "GET /acr/v1/team/scorer/_tags/1", "", "1\n"},
		{"repository show -n HOST --image team/scorer@" + someDigest + " --query tags -o json", "GET " + manifest, "", "\"x\""},
		{"repository show-tags -n HOST --repository team/scorer --orderby time_desc --top 2 -o tsv", "GET /acr/v1/team/scorer/_tags?n=2&orderby=timedesc", "", "2\n1\n"},
		{"repository show-tags -n HOST --repository team/scorer --detail -o table", "GET /acr/v1/team/scorer/_tags?n=100", "", "2     d2"},
		{"repository show-manifests -n HOST --repository team/scorer", "GET /acr/v1/team/scorer/_manifests?n=100", "", `"timestamp": "T1"`},
		{"repository show-manifests -n HOST --repository team/scorer --detail --query [0].imageSize", "GET /acr/v1/team/scorer/_manifests?n=100", "", "5\n"},
		{"repository update -n HOST --repository team/scorer --write-enabled false --delete-enabled true -o none", "GET /acr/v1/team/scorer", "", ""},
		{"repository delete -n HOST --repository team/scorer --yes --query tagsDeleted -o tsv", "DELETE /acr/v1/team/scorer", "", "1\n"},
		{"repository delete -n HOST --image team/scorer:1 --yes", "DELETE /v2/team/scorer/manifests/" + someDigest, "", ""},
		{"repository untag -n HOST --image team/scorer:1", "DELETE /acr/v1/team/scorer/_tags/1", "", ""},
		{"manifest list-metadata -r HOST -n team/scorer --orderby time_asc -o table", "GET /acr/v1/team/scorer/_manifests?n=100&orderby=timeasc", "", "d1      1, x"},
		{"manifest show-metadata -r HOST -n team/scorer:1 --query digest -o tsv", "GET " + manifest, "", someDigest},
		{"manifest delete -r HOST -n team/scorer:1 -y", "DELETE /v2/team/scorer/manifests/" + someDigest, "", ""},
	} {
		t.Run(c.line, func(t *testing.T) {
			stdout := p.ok(t, "acr "+c.line)
			seen := p.sent()
			last := seen[len(seen)-1]
			got := last.Method + " " + last.Path
			if len(last.Query) > 0 {
				got += "?" + last.Query.Encode()
			}
			if got != c.last {
				t.Errorf("sent %s, want %s; all: %q", got, c.last, lines(seen))
			}
			if !strings.Contains(stdout, c.stdout) {
				t.Errorf("printed\n%s\nwithout %q", stdout, c.stdout)
			}
		})
	}
	p.ok(t, "acr repository update -n HOST --repository team/scorer --write-enabled false --delete-enabled true")
	for _, e := range p.sent() {
		if e.Method == "PATCH" {
			if got, want := e.json(t), map[string]any{"writeEnabled": false, "deleteEnabled": true}; !reflect.DeepEqual(got, want) {
				t.Errorf("the body is %v, want %v", got, want)
			}
		}
	}
}

// One sign-in serves a whole command: one exchange, one token for each scope that is asked for.
func TestRepositoryCommandsSignInOnce(t *testing.T) {
	p := repositoryPlant(t, nil)
	p.ok(t, "acr repository list -n HOST")
	want := []string{"GET /acr/v1/_catalog", "POST /oauth2/exchange", "POST /oauth2/token", "GET /acr/v1/_catalog", "GET /acr/v1/_catalog"}
	seen := p.sent()
	if got := lines(seen); !reflect.DeepEqual(got, want) {
		t.Fatalf("sent %q, want %q", got, want)
	}
	form := seen[2].form(t)
	if form.Get("grant_type") != "refresh_token" || form.Get("scope") != "registry:catalog:*" || form.Get("service") != p.host() {
		t.Errorf("the token is asked for by %v", form)
	}
	p.ok(t, "acr repository delete -n HOST --image team/scorer:1 --yes")
	exchanges := 0
	for _, e := range p.sent() {
		if e.Path == "/oauth2/exchange" {
			exchanges++
		}
	}
	if exchanges != 1 {
		t.Errorf("%d exchanges", exchanges)
	}
}

func TestRepositoryCommandsThatAreRefused(t *testing.T) {
	refused := guarded("repository:team/scorer:metadata_read", says(403, `{"errors":[{"code":"DENIED","message":"pull is missing","detail":{"target":"x"}},{"code":"DENIED","message":"and more"}]}`))
	p := repositoryPlant(t, map[string]http.HandlerFunc{"GET /acr/v1/team/denied": refused})
	for _, c := range []struct {
		line   string
		code   int
		stderr string
	}{
		{"repository show -n HOST --repository team/denied", ExitError, "(DENIED) pull is missing\n- (DENIED) and more"},
		{"repository show -n HOST --image team/scorer", ExitNotFound, "(TAG_UNKNOWN) there is no tag latest"},
		{"repository show -n HOST", ExitUsage, "say what is meant"},
		{"repository show -n HOST --repository a --image a:1", ExitUsage, "say what is meant"},
		{"repository show -n HOST --repository ../../v2/", ExitUsage, "is no image of the registry"},
		{"repository show -n HOST --repository A", ExitUsage, "is no image of the registry"},
		{"repository show -n HOST --repository a:1", ExitUsage, "a repository has no tag"},
		{"repository show -n HOST --image a:..", ExitUsage, "the tag after the colon"},
		{"repository show -n HOST --image a:", ExitUsage, "the tag after the colon"},
		{"repository show -n HOST --image a@sha256:zz", ExitUsage, "must be a digest"},
		{"repository untag -n HOST --image a@" + someDigest, ExitUsage, "name the tag"},
		{"repository update -n HOST --repository a", ExitUsage, "say what to change"},
		{"repository delete -n HOST --repository team/scorer", ExitUsage, "say --yes"},
		{"repository delete -n HOST --image team/scorer:1", ExitUsage, "delete the manifest team/scorer@" + someDigest + " and with it team/scorer:1, team/scorer:x; say --yes"},
		{"manifest list-metadata -r HOST -n team/scorer:1", ExitUsage, "give the repository alone"},
		{"repository show-tags -n HOST --repository a --orderby size", ExitUsage, "--orderby"},
	} {
		code, stdout, stderr := p.run(t.Context(), "acr "+c.line)
		if code != c.code || !strings.Contains(stderr, c.stderr) || stdout != "" {
			t.Errorf("%s: exit code %d (want %d)\n%s%s", c.line, code, c.code, stdout, stderr)
		}
	}
	for _, e := range p.sent() {
		if e.Method == "DELETE" {
			t.Errorf("a refused command sent %s %s", e.Method, e.Path)
		}
	}
}

func TestImagesAreRead(t *testing.T) {
	for text, want := range map[string]image{
		"a":                              {repository: "a"},
		"team/a:1.0":                     {repository: "team/a", tag: "1.0"},
		"a@" + someDigest:                {repository: "a", digest: someDigest},
		"127.0.0.1:5000/team/a:x":        {repository: "team/a", tag: "x"},
		"127.0.0.1:5000/a":               {repository: "a"},
		"127.0.0.1:5000/a@" + someDigest: {repository: "a", digest: someDigest},
	} {
		if got, err := parseImage("--image", text, "127.0.0.1:5000"); err != nil || got != want {
			t.Errorf("%s gives %+v, %v", text, got, err)
		}
	}
}
