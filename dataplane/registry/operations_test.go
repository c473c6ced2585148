package registry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

// samplePaths has a path of each kind.
var samplePaths = map[what]string{
	atRoot: "/v2/", atCatalog: "/v2/_catalog", atTags: "/v2/team/app/tags/list", atManifest: "/v2/team/app/manifests/v1", atBlob: "/v2/team/app/blobs/" + noDigest,
	atUploads: "/v2/team/app/blobs/uploads/", atUpload: "/v2/team/app/blobs/uploads/00000000-0000-4000-8000-000000000000", atReferrers: "/v2/team/app/referrers/" + noDigest,
	atExchange: "/oauth2/exchange", atToken: "/oauth2/token", acrCatalog: "/acr/v1/_catalog", acrRepo: "/acr/v1/team/app", acrTags: "/acr/v1/team/app/_tags",
	acrTag: "/acr/v1/team/app/_tags/v1", acrManifests: "/acr/v1/team/app/_manifests", acrManifest: "/acr/v1/team/app/_manifests/" + noDigest,
}

// Every row of the table asks who it is and what they may do: without a token it is 401, with one that carries too little
// 401, without a role 403, and only the ping is for all who are known.
func TestEveryOperationIsGuarded(t *testing.T) {
	w := newWorld(t)
	stranger := w.as("stranger", "team/app", "team/other")
	narrow := bearer(w.token("alpha", "stranger", "repository:team/elsewhere:*"))
	w.grant("owner", "Owner", resource.Root)
	for key, op := range operations {
		method, kind, _ := strings.Cut(key, " ")
		kind, mount := strings.CutSuffix(kind, " from")
		path, ok := samplePaths[what(kind)]
		if !ok {
			t.Fatalf("no path for %q", key)
		}
		if mount {
			path += "?from=team/other&mount=" + noDigest
		}
		if at, err := parsePath(method, mustURL(t, path)); err != nil || string(at.what) != kind {
			t.Errorf("%s is read as %+v, %v", path, at, err)
		}
		if op.open {
			if op.needs != nil || op.list || kind != string(atExchange) && kind != string(atToken) {
				t.Errorf("%s is open", key)
			}
			continue
		}
		if a := w.do(call{method: method, path: path}); a.status != 401 {
			t.Errorf("%s without a token: %d %s", key, a.status, a.body)
		}
		want, wantNarrow := 403, 401
		if kind == string(atRoot) {
			want, wantNarrow = 200, 200
		}
		if a := w.do(call{method: method, path: path, header: stranger}); a.status != want {
			t.Errorf("%s without a role: %d %s", key, a.status, a.body)
		}
		if a := w.do(call{method: method, path: path, header: narrow}); a.status != wantNarrow {
			t.Errorf("%s with a token for elsewhere: %d %s", key, a.status, a.body)
		}
	}
}

// files is a connection that takes files as the kernel does.
type files struct {
	*httptest.ResponseRecorder
	sent int64
}

func (f *files) ReadFrom(from io.Reader) (int64, error) {
	if limited, ok := from.(*io.LimitedReader); ok {
		if _, ok := limited.R.(*os.File); ok {
			f.sent += limited.N
		}
	}
	return io.Copy(f.ResponseRecorder, from)
}

// A blob goes to the connection as a file, so that on a plain connection its bytes do not pass through the program.
func TestBlobsAreSentAsFiles(t *testing.T) {
	w := newWorld(t)
	w.grant("owner", "Owner", resource.Root)
	header := w.as("owner", "team/app")
	digest := w.pushBlob(header, "team/app", []byte(strings.Repeat("x", 100_000)))
	for ranges, want := range map[string]int64{"": 100_000, "bytes=10-29": 20} {
		request := httptest.NewRequest(http.MethodGet, "/v2/team/app/blobs/"+digest, nil)
		request.Header = with(header, "Range", ranges)
		if ranges == "" {
			request.Header.Del("Range")
		}
		connection := &files{ResponseRecorder: httptest.NewRecorder()}
		w.server.Handler("Alpha").ServeHTTP(connection, request)
		if connection.sent != want || int64(connection.Body.Len()) != want {
			t.Errorf("%q: %d bytes as a file, %d in all, expected %d", ranges, connection.sent, connection.Body.Len(), want)
		}
	}
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
