package blob_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/alvara-ml/alvara/dataplane/blob"
)

// listener is a guard that lets everything pass and remembers what conditions could ask about.
type listener struct {
	mu   sync.Mutex
	told map[string]bool
}

func (l *listener) Check(_ context.Context, access blob.Access) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var words []string
	for _, v := range access.Attributes {
		name := v.Attribute.String()
		words = append(words, name[strings.LastIndexAny(name, ":[/")+1:len(name)-1]+"="+v.Text)
	}
	l.told[access.Action[strings.LastIndex(access.Action, "containers"):]+" "+strings.Join(words, " ")] = true
	return nil
}

// BX-05: every operation tells conditions what it is about, on the wire and through the door.
func TestWhatConditionsAreTold(t *testing.T) {
	w := newWorld(t, "mem")
	w.fill(t)
	l := &listener{told: map[string]bool{}}
	w.Guard = l
	for _, c := range []call{
		{method: "GET", url: "?comp=list"},
		{method: "HEAD", url: "/data?restype=container"},
		{method: "GET", url: "/data/dir/old"},
		{method: "GET", url: "/data?restype=container&comp=list&prefix=di"},
		{method: "GET", url: "/data?resource=filesystem&recursive=true&directory=dir", dfs: true},
		{method: "PUT", url: "/data/copy", headers: map[string]string{"x-ms-copy-source": w.blob.URL + "/acct/private/secret"}},
		{method: "PUT", url: "/data/moved%20here", headers: map[string]string{"x-ms-rename-source": "/data/dir"}, dfs: true},
	} {
		if r, body := w.send(t, "anybody", c); r.StatusCode > 299 {
			t.Fatalf("%s: %s %s", c.url, r.Status, body)
		}
	}
	door := w.As(principal("anybody"), "")
	if _, err := door.List(t.Context(), "acct", "data", blob.ListQuery{Prefix: "lo", Limit: 9}); err != nil {
		t.Fatal(err)
	}
	if err := door.Delete(t.Context(), "acct", "data", "log"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"containers/read name=acct", "containers/read name=acct name=data",
		"containers/blobs/read name=acct name=data path=dir/old",
		"containers/blobs/read name=acct name=data prefix=di subOperation=Blob.List",
		"containers/blobs/read name=acct name=data prefix=dir/ subOperation=Blob.List",
		"containers/blobs/read name=acct name=private path=secret", "containers/blobs/write name=acct name=data path=copy",
		"containers/blobs/write name=acct name=data path=moved here", "containers/blobs/move/action name=acct name=data path=dir",
		"containers/blobs/read name=acct name=data prefix=lo subOperation=Blob.List", "containers/blobs/delete name=acct name=data path=log",
	} {
		if !l.told[want] {
			t.Errorf("%q was not told", want)
		}
		delete(l.told, want)
	}
	if len(l.told) > 0 {
		t.Errorf("and these were: %s", fmt.Sprint(l.told))
	}
}
