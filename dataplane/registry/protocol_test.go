package registry

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

// exchangeCase is one request with what is expected of the answer. In paths, headers and bodies {name} stands for what an
// earlier answer gave.
type exchangeCase struct {
	name   string
	method string
	path   string
	header []string // name, value, …
	body   string
	status int
	codes  string
	want   map[string]string // headers; a value of "*" wants any
	text   string            // the body, "" for any
	keep   map[string]string // header → the name under which its value is kept
}

var (
	helloDigest = digestOf([]byte("hello"))
	worldDigest = digestOf([]byte("hello, world"))
	emptyConfig = []byte("{}")
	firstImage  = manifestOf(emptyConfig, []byte("hello"))
	attached    = manifestOf(emptyConfig, []byte("hello"), fmt.Sprintf(`,"artifactType":"application/x.sbom","subject":{"mediaType":%q,"digest":%q,"size":%d}`, manifestType, digestOf(firstImage), len(firstImage)))
	noDigest    = "sha256:" + strings.Repeat("0", 64)
)

// protocol is the distribution specification, one exchange after the other, by somebody who may do everything.
var protocol = []exchangeCase{
	{name: "ping", method: "GET", path: "/v2/", status: 200, want: map[string]string{"Docker-Distribution-Api-Version": "registry/2.0"}, text: "{}"},
	{name: "no blob", method: "GET", path: "/v2/team/app/blobs/" + noDigest, status: 404, codes: "BLOB_UNKNOWN"},
	{name: "no blob, HEAD", method: "HEAD", path: "/v2/team/app/blobs/" + noDigest, status: 404},
	{name: "no manifest", method: "GET", path: "/v2/team/app/manifests/.INVALID_MANIFEST_NAME", status: 404, codes: "MANIFEST_UNKNOWN"},
	{name: "no manifest by digest", method: "GET", path: "/v2/team/app/manifests/" + noDigest, status: 404, codes: "MANIFEST_UNKNOWN"},
	{name: "no repository", method: "GET", path: "/v2/team/app/tags/list", status: 404, codes: "NAME_UNKNOWN"},
	{name: "no upload", method: "GET", path: "/v2/team/app/blobs/uploads/00000000-0000-0000-0000-000000000000", status: 404, codes: "BLOB_UPLOAD_UNKNOWN"},
	{name: "no such upload id", method: "PATCH", path: "/v2/team/app/blobs/uploads/no..id", status: 404, codes: "BLOB_UPLOAD_UNKNOWN"},

	{name: "post then put", method: "POST", path: "/v2/team/app/blobs/uploads/", status: 202, want: map[string]string{"Docker-Upload-Uuid": "*", "Range": "0-0"}, keep: map[string]string{"Location": "at"}},
	{name: "put without digest", method: "PUT", path: "{at}", body: "hello", status: 400, codes: "DIGEST_INVALID"},
	{name: "put all", method: "PUT", path: "{at}?digest=" + helloDigest, header: []string{"Content-Type", "application/octet-stream"}, body: "hello", status: 201,
		want: map[string]string{"Location": "/v2/team/app/blobs/" + helloDigest, "Docker-Content-Digest": helloDigest}},
	{name: "the blob", method: "GET", path: "/v2/team/app/blobs/" + helloDigest, status: 200, text: "hello",
		want: map[string]string{"Docker-Content-Digest": helloDigest, "Content-Length": "5", "Content-Type": "application/octet-stream"}},
	{name: "HEAD blob", method: "HEAD", path: "/v2/team/app/blobs/" + helloDigest, status: 200, want: map[string]string{"Content-Length": "5", "Docker-Content-Digest": helloDigest}},
	{name: "HEAD takes no range", method: "HEAD", path: "/v2/team/app/blobs/" + helloDigest, header: []string{"Range", "bytes=1-2"}, status: 200, want: map[string]string{"Content-Length": "5"}},
	{name: "a range", method: "GET", path: "/v2/team/app/blobs/" + helloDigest, header: []string{"Range", "bytes=1-2"}, status: 206, text: "el", want: map[string]string{"Content-Range": "bytes 1-2/5"}},
	{name: "a range beyond", method: "GET", path: "/v2/team/app/blobs/" + helloDigest, header: []string{"Range", "bytes=9-12"}, status: 416, codes: "SIZE_INVALID", want: map[string]string{"Content-Range": "bytes */5", "Content-Type": "application/json; charset=utf-8"}},
	{name: "a range that is none", method: "GET", path: "/v2/team/app/blobs/" + helloDigest, header: []string{"Range", "bytes=x"}, status: 416, codes: "SIZE_INVALID"},
	{name: "monolithic", method: "POST", path: "/v2/team/app/blobs/uploads/?digest=" + digestOf(emptyConfig), body: "{}", status: 201, want: map[string]string{"Docker-Content-Digest": digestOf(emptyConfig)}},
	{name: "monolithic, other digest", method: "POST", path: "/v2/team/app/blobs/uploads/?digest=" + noDigest, body: "{}", status: 400, codes: "DIGEST_INVALID"},
	{name: "sha512 is not offered", method: "POST", path: "/v2/team/app/blobs/uploads/?digest=sha512:" + strings.Repeat("0", 128), body: "{}", status: 400, codes: "DIGEST_INVALID"},

	{name: "chunks", method: "POST", path: "/v2/team/app/blobs/uploads/", status: 202, keep: map[string]string{"Location": "at"}},
	{name: "second chunk first", method: "PATCH", path: "{at}", header: []string{"Content-Range", "5-11"}, body: ", world", status: 416, codes: "BLOB_UPLOAD_INVALID", want: map[string]string{"Location": "*", "Range": "0-0"}},
	{name: "first chunk", method: "PATCH", path: "{at}", header: []string{"Content-Range", "0-4"}, body: "hello", status: 202, want: map[string]string{"Range": "0-4"}},
	{name: "first chunk again", method: "PATCH", path: "{at}", header: []string{"Content-Range", "0-4"}, body: "hello", status: 416, codes: "BLOB_UPLOAD_INVALID", want: map[string]string{"Range": "0-4"}},
	{name: "overlapping chunk", method: "PATCH", path: "{at}", header: []string{"Content-Range", "3-9"}, body: "lo, wor", status: 416, codes: "BLOB_UPLOAD_INVALID", want: map[string]string{"Range": "0-4"}},
	{name: "chunk of another length", method: "PATCH", path: "{at}", header: []string{"Content-Range", "5-100"}, body: ", world", status: 400, codes: "SIZE_INVALID"},
	{name: "range that is none", method: "PATCH", path: "{at}", header: []string{"Content-Range", "seven"}, body: ", world", status: 400, codes: "BLOB_UPLOAD_INVALID"},
	{name: "status", method: "GET", path: "{at}", status: 204, want: map[string]string{"Range": "0-4", "Location": "*"}},
	{name: "last chunk", method: "PUT", path: "{at}?digest=" + worldDigest, header: []string{"Content-Range", "5-11"}, body: ", world", status: 201, want: map[string]string{"Docker-Content-Digest": worldDigest}},
	{name: "the chunks together", method: "GET", path: "/v2/team/app/blobs/" + worldDigest, status: 200, text: "hello, world"},
	{name: "streamed", method: "POST", path: "/v2/team/app/blobs/uploads", status: 202, keep: map[string]string{"Location": "at"}},
	{name: "stream", method: "PATCH", path: "{at}", body: "hello, moon", status: 202, want: map[string]string{"Range": "0-10"}},
	{name: "end of stream", method: "PUT", path: "{at}?digest=" + digestOf([]byte("hello, moon")), status: 201},
	{name: "cancelled", method: "POST", path: "/v2/team/app/blobs/uploads/", status: 202, keep: map[string]string{"Location": "at"}},
	{name: "cancel", method: "DELETE", path: "{at}", status: 204},
	{name: "after cancel", method: "GET", path: "{at}", status: 404, codes: "BLOB_UPLOAD_UNKNOWN"},
	{name: "wrong digest", method: "POST", path: "/v2/team/app/blobs/uploads/", status: 202, keep: map[string]string{"Location": "at"}},
	{name: "digest mismatch", method: "PUT", path: "{at}?digest=" + noDigest, body: "hello", status: 400, codes: "DIGEST_INVALID"},
	{name: "nothing is left of it", method: "GET", path: "/v2/team/app/blobs/" + noDigest, status: 404, codes: "BLOB_UNKNOWN"},

	{name: "mount", method: "POST", path: "/v2/other/app/blobs/uploads/?mount=" + helloDigest + "&from=team/app", status: 201, want: map[string]string{"Location": "/v2/other/app/blobs/" + helloDigest}},
	{name: "mount what is not there", method: "POST", path: "/v2/other/app/blobs/uploads/?mount=" + noDigest + "&from=team/app", status: 202, want: map[string]string{"Location": "*"}},
	{name: "mount from nowhere", method: "POST", path: "/v2/other/app/blobs/uploads/?mount=" + helloDigest, status: 202},

	{name: "put manifest", method: "PUT", path: "/v2/team/app/manifests/v1", header: []string{"Content-Type", manifestType}, body: string(firstImage), status: 201,
		want: map[string]string{"Docker-Content-Digest": digestOf(firstImage), "Location": "/v2/team/app/manifests/" + digestOf(firstImage), "Oci-Subject": ""}},
	{name: "put manifest by digest", method: "PUT", path: "/v2/team/app/manifests/" + digestOf(firstImage), header: []string{"Content-Type", manifestType}, body: string(firstImage), status: 201},
	{name: "put under another digest", method: "PUT", path: "/v2/team/app/manifests/" + noDigest, header: []string{"Content-Type", manifestType}, body: string(firstImage), status: 400, codes: "DIGEST_INVALID"},
	{name: "a tag that is none", method: "PUT", path: "/v2/team/app/manifests/-v1", header: []string{"Content-Type", manifestType}, body: string(firstImage), status: 400, codes: "TAG_INVALID"},
	{name: "garbage", method: "PUT", path: "/v2/team/app/manifests/bad", header: []string{"Content-Type", manifestType}, body: "garbage", status: 400, codes: "MANIFEST_INVALID"},
	{name: "missing layer", method: "PUT", path: "/v2/team/app/manifests/bad", header: []string{"Content-Type", manifestType}, body: string(manifestOf(emptyConfig, []byte("missing"))), status: 400, codes: "MANIFEST_BLOB_UNKNOWN"},
	{name: "too large", method: "PUT", path: "/v2/team/app/manifests/bad", header: []string{"Content-Type", manifestType}, body: strings.Repeat(" ", 10<<20), status: 413, codes: "SIZE_INVALID"},
	{name: "nothing of it", method: "GET", path: "/v2/team/app/manifests/bad", status: 404, codes: "MANIFEST_UNKNOWN"},
	{name: "get manifest", method: "GET", path: "/v2/team/app/manifests/v1", status: 200, text: string(firstImage), want: map[string]string{"Content-Type": manifestType, "Docker-Content-Digest": digestOf(firstImage)}},
	{name: "head manifest", method: "HEAD", path: "/v2/team/app/manifests/v1", status: 200, want: map[string]string{"Content-Type": manifestType, "Content-Length": fmt.Sprint(len(firstImage)), "Docker-Content-Digest": digestOf(firstImage)}},
	{name: "known manifest", method: "GET", path: "/v2/team/app/manifests/v1", header: []string{"If-None-Match", `"` + digestOf(firstImage) + `"`}, status: 304},
	{name: "more tags", method: "PUT", path: "/v2/team/app/manifests/v2", header: []string{"Content-Type", manifestType}, body: string(firstImage), status: 201},
	{name: "more tags", method: "PUT", path: "/v2/team/app/manifests/V3", header: []string{"Content-Type", manifestType}, body: string(firstImage), status: 201},
	{name: "tags", method: "GET", path: "/v2/team/app/tags/list", status: 200, text: `{"name":"team/app","tags":["V3","v1","v2"]}`, want: map[string]string{"Link": ""}},
	{name: "two tags", method: "GET", path: "/v2/team/app/tags/list?n=2", status: 200, text: `{"name":"team/app","tags":["V3","v1"]}`, want: map[string]string{"Link": `</v2/team/app/tags/list?last=v1&n=2>; rel="next"`}},
	{name: "the rest", method: "GET", path: "/v2/team/app/tags/list?last=v1&n=2", status: 200, text: `{"name":"team/app","tags":["v2"]}`, want: map[string]string{"Link": ""}},
	{name: "exactly all", method: "GET", path: "/v2/team/app/tags/list?n=3", status: 200, want: map[string]string{"Link": ""}},
	{name: "none of them", method: "GET", path: "/v2/team/app/tags/list?n=0", status: 200, text: `{"name":"team/app","tags":[]}`, want: map[string]string{"Link": ""}},
	{name: "a number that is none", method: "GET", path: "/v2/team/app/tags/list?n=-1", status: 400, codes: "INVALID_PARAMETER"},

	{name: "no referrers", method: "GET", path: "/v2/team/app/referrers/" + noDigest, status: 200, text: `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`, want: map[string]string{"Content-Type": indexType}},
	{name: "attach", method: "PUT", path: "/v2/team/app/manifests/" + digestOf(attached), header: []string{"Content-Type", manifestType}, body: string(attached), status: 201, want: map[string]string{"Oci-Subject": digestOf(firstImage)}},
	{name: "referrers", method: "GET", path: "/v2/team/app/referrers/" + digestOf(firstImage), status: 200, want: map[string]string{"Oci-Filters-Applied": "", "Content-Type": indexType},
		text: fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"artifactType":"application/x.sbom"}]}`, indexType, manifestType, digestOf(attached), len(attached))},
	{name: "referrers of a type", method: "GET", path: "/v2/team/app/referrers/" + digestOf(firstImage) + "?artifactType=application/x.other", status: 200, want: map[string]string{"Oci-Filters-Applied": "artifactType"},
		text: fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[]}`, indexType)},

	{name: "catalog", method: "GET", path: "/v2/_catalog", status: 200, text: `{"repositories":["team/app"]}`},
	{name: "catalog", method: "GET", path: "/acr/v1/_catalog?api-version=2021-07-01", status: 200, text: `{"repositories":["team/app"]}`},

	{name: "delete a tag", method: "DELETE", path: "/v2/team/app/manifests/v2", status: 202},
	{name: "the manifest stays", method: "GET", path: "/v2/team/app/manifests/v1", status: 200},
	{name: "delete a manifest", method: "DELETE", path: "/v2/team/app/manifests/" + digestOf(firstImage), status: 202},
	{name: "its tags are gone", method: "GET", path: "/v2/team/app/manifests/v1", status: 404, codes: "MANIFEST_UNKNOWN"},
	{name: "delete it again", method: "DELETE", path: "/v2/team/app/manifests/" + digestOf(firstImage), status: 404, codes: "MANIFEST_UNKNOWN"},
	{name: "delete the blob", method: "DELETE", path: "/v2/team/app/blobs/" + worldDigest, status: 202},
	{name: "the blob is gone", method: "GET", path: "/v2/team/app/blobs/" + worldDigest, status: 404, codes: "BLOB_UNKNOWN"},

	{name: "upper case", method: "GET", path: "/v2/Team/app/tags/list", status: 400, codes: "NAME_INVALID"},
	{name: "dots", method: "GET", path: "/v2/team/%2e%2e/app/tags/list", status: 400, codes: "NAME_INVALID"},
	{name: "dots in the clear", method: "GET", path: "/v2/team/../app/tags/list", status: 400, codes: "NAME_INVALID"},
	{name: "encoded slash", method: "GET", path: "/v2/team%2Fapp/tags/list", status: 200},
	{name: "twice encoded slash", method: "GET", path: "/v2/team%252Fapp/tags/list", status: 400, codes: "NAME_INVALID"},
	{name: "empty component", method: "GET", path: "/v2/team//app/tags/list", status: 400, codes: "NAME_INVALID"},
	{name: "no name", method: "GET", path: "/v2//tags/list", status: 400, codes: "NAME_INVALID"},
	{name: "long name", method: "GET", path: "/v2/" + strings.Repeat("a", 256) + "/tags/list", status: 400, codes: "NAME_INVALID"},
	{name: "very long path", method: "GET", path: "/v2/" + strings.Repeat("a/", 2000) + "tags/list", status: 400, codes: "NAME_INVALID"},
	{name: "no path", method: "GET", path: "/v2/team/app/layers", status: 404, codes: "NOT_FOUND"},
	{name: "elsewhere", method: "GET", path: "/metrics", status: 404, codes: "NOT_FOUND"},
	{name: "no such method", method: "PUT", path: "/v2/team/app/tags/list", status: 405, codes: "UNSUPPORTED", want: map[string]string{"Allow": "GET"}},
	{name: "a digest that is none", method: "GET", path: "/v2/team/app/blobs/sha256:abc", status: 400, codes: "DIGEST_INVALID"},
	{name: "malformed query", method: "GET", path: "/v2/team/app/tags/list?n=%zz", status: 400, codes: "INVALID_PARAMETER"},
}

// The same exchanges in-process and over TLS.
func TestProtocol(t *testing.T) {
	for _, how := range []string{"in-process", "TLS"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			w.grant("owner", "Owner", resource.Root)
			header := w.as("owner", "team/app", "other/app")
			handler, listener := w.server.Handler("alpha"), w.http["alpha"]
			kept := map[string]string{}
			for _, c := range protocol {
				path := c.path
				for name, value := range kept {
					path = strings.ReplaceAll(path, "{"+name+"}", value)
				}
				var a answer
				if how == "TLS" {
					a = w.do(call{method: c.method, path: path, header: with(header, c.header...), body: []byte(c.body)})
				} else {
					request := httptest.NewRequest(c.method, listener.URL+path, strings.NewReader(c.body))
					request.Header = with(header, c.header...)
					recorder := httptest.NewRecorder()
					handler.ServeHTTP(recorder, request)
					body, _ := io.ReadAll(recorder.Result().Body)
					a = answer{recorder.Code, recorder.Result().Header, body}
				}
				c.check(t, a)
				for from, name := range c.keep {
					kept[name] = a.header.Get(from)
				}
			}
		})
	}
}

func (c *exchangeCase) check(t *testing.T, a answer) {
	t.Helper()
	if a.status != c.status || c.method != http.MethodHead && a.codes() != c.codes {
		t.Errorf("%s: %s %.150s: %d %.400s, expected %d %s", c.name, c.method, c.path, a.status, a.body, c.status, c.codes)
	}
	for name, want := range c.want {
		if got := a.header.Get(name); got != want && (want != "*" || got == "") {
			t.Errorf("%s: %s is %q, expected %q", c.name, name, got, want)
		}
	}
	if c.text != "" && !bytes.Equal(bytes.TrimSpace(a.body), []byte(c.text)) {
		t.Errorf("%s: the body is %.400s, expected %.400s", c.name, a.body, c.text)
	}
	if c.method == http.MethodHead && len(a.body) > 0 {
		t.Errorf("%s: HEAD has a body", c.name)
	}
}
