package registry

import (
	"bytes"
	"net/http/httptest"
	"testing"

	"github.com/alvara-ml/alvara/resource"
)

// What a request costs without the network: the token's signature, the decision, the record, the documents.
func BenchmarkPullManifest(b *testing.B) {
	w := newWorld(b)
	w.grant("owner", "Owner", resource.Root)
	header := w.as("owner", "team/app")
	w.pushImage(header, "team/app", "v1", "")
	handler := w.server.Handler("alpha")
	for b.Loop() {
		request := httptest.NewRequest("GET", "/v2/team/app/manifests/v1", nil)
		request.Header = header
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		if recorder.Code != 200 {
			b.Fatal(recorder.Body)
		}
	}
}

// A blob of 64 MiB, pulled over TLS.
func BenchmarkPullBlob(b *testing.B) {
	w := newWorld(b)
	w.grant("owner", "Owner", resource.Root)
	header := w.as("owner", "team/app")
	content := bytes.Repeat([]byte("0123456789abcdef"), 4<<20)
	digest := w.pushBlob(header, "team/app", content)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if a := w.do(call{method: "GET", path: "/v2/team/app/blobs/" + digest, header: header}); len(a.body) != len(content) {
			b.Fatal(a.status)
		}
	}
}
