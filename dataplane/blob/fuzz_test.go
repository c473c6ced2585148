package blob_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
)

// FuzzRequest: whatever is sent, the server answers with an error of its own to whoever has no rights, and nothing changes.
func FuzzRequest(f *testing.F) {
	w := newWorld(f, "mem")
	w.fill(f)
	for _, c := range calls(w.blob.URL + "/acct/data/dir/old") {
		path, query, _ := strings.Cut(c.url, "?")
		name, value := "x-ms-x", "x"
		for name, value = range c.headers {
			break
		}
		f.Add(c.method, path, query, name, value, c.body, c.dfs)
	}
	before := strings.Join(w.everything(f), " ")
	f.Fuzz(func(t *testing.T, method, path, query, name, value, body string, dfs bool) {
		u := &url.URL{Scheme: "https", Host: "127.0.0.1:1", Path: "/acct" + path, RawQuery: query}
		r, err := http.NewRequestWithContext(t.Context(), method, "https://127.0.0.1:1/", strings.NewReader(body))
		if err != nil {
			t.Skip("no method")
		}
		r.URL, r.RemoteAddr = u, "127.0.0.1:2"
		r.Header[http.CanonicalHeaderKey(name)] = []string{value}
		r.Header.Set("Authorization", "Bearer token-of-stranger")
		answer := httptest.NewRecorder()
		handler := w.BlobHandler()
		if dfs {
			handler = w.DFSHandler()
		}
		handler.ServeHTTP(answer, r)
		if answer.Code < 300 || answer.Code >= 500 || answer.Header().Get("x-ms-error-code") == "" || answer.Header().Get("x-ms-request-id") == "" {
			t.Fatalf("%s %s: %d %v %s", method, u, answer.Code, answer.Header(), answer.Body)
		}
		if after := strings.Join(w.everything(t), " "); after != before {
			t.Fatalf("%s %s changed something", method, u)
		}
	})
}

// FuzzSAS: a query that the server's key did not sign opens nothing.
func FuzzSAS(f *testing.F) {
	w := newWorld(f, "mem")
	w.fill(f)
	s := w.signer(f, "owner", true)
	for _, v := range []sas.BlobSignatureValues{
		{ContainerName: "data", BlobName: "dir/old", Permissions: "d"},
		{ContainerName: "private", Permissions: "rl"},
		{ContainerName: "data", Directory: "dir/deep", Permissions: "r"},
	} {
		f.Add(s.sign(f, v))
	}
	f.Add("sv=2018-11-09&sr=b&sp=r&se=2999-01-01&sig=AA==&skoid=id-of-owner&skt=2000-01-01&ske=2999-01-01&sks=b&skv=2020-02-10")
	f.Add("ss=b&srt=sco&sp=r&se=2999-01-01&sv=2020-12-06&sig=AA==")
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "https://acct.blob.store.example/data/dir/old", nil)
		r.URL.RawQuery = query
		answer := httptest.NewRecorder()
		w.BlobHandler().ServeHTTP(answer, r)
		if answer.Code < 400 || answer.Code >= 500 {
			t.Fatalf("%q: %d %s", query, answer.Code, answer.Body)
		}
	})
}
