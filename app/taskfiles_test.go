package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/dataplane/blob/mem"
	"github.com/alvara-ml/alvara/resource"
)

// noAccounts is a catalog in which nobody has made an account.
type noAccounts struct{ blob.Catalog }

func (noAccounts) Account(context.Context, string) (blob.Account, error) {
	return blob.Account{}, resource.NotFoundf("ResourceNotFound", "none")
}

type nobody struct{}

func (nobody) Check(context.Context, blob.Access) error {
	return resource.Forbiddenf("AuthorizationFailed", "no")
}

// newTaskFiles gives the files of builds on a plane of their own, and a client of it.
func newTaskFiles(t *testing.T) (*taskFiles, *http.Client) {
	t.Helper()
	key := []byte("0123456789abcdef0123456789abcdef")
	objects := mem.New(time.Now)
	server := &blob.Server{Catalog: taskCatalog{Catalog: noAccounts{}, key: key}, Guard: nobody{}, Objects: objects, Clock: time.Now}
	listener := httptest.NewTLSServer(server.BlobHandler())
	t.Cleanup(listener.Close)
	endpoint := func(account string) (string, string) { return listener.URL + "/" + account + "/", "" }
	return &taskFiles{key: key, endpoint: endpoint, handler: server.BlobHandler(), objects: objects, clock: time.Now}, listener.Client()
}

func request(t *testing.T, client *http.Client, method, url, body string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-ms-blob-type", "BlockBlob")
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

func TestSourcesOfBuilds(t *testing.T) {
	files, client := newTaskFiles(t)
	ctx := t.Context()
	const one, two = "0a1b2c3d-0000-4000-8000-000000000001", "0a1b2c3d-0000-4000-8000-000000000002"
	upload, path, err := files.Source(ctx, one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.ReadSource(ctx, one, path, time.Minute); resource.KindOf(err) != resource.NotFound {
		t.Errorf("a source that nobody uploaded: %v", err)
	}
	if status, _, body := request(t, client, "PUT", upload, "context"); status != 201 {
		t.Fatalf("uploading: %d %s", status, body)
	}
	if status, _, _ := request(t, client, "GET", upload, ""); status != 403 {
		t.Errorf("the upload's URL reads: %d", status)
	}
	link, err := files.ReadSource(ctx, one, path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, body := request(t, client, "GET", link, ""); status != 200 || body != "context" {
		t.Errorf("reading: %d %q", status, body)
	}
	if status, _, _ := request(t, client, "PUT", link, "other"); status != 403 {
		t.Errorf("the reading URL writes: %d", status)
	}
	for _, bad := range []string{"", "logs/ca1/rawtext.log", "source/../logs/x", "../" + path, path + "?x=1", strings.ToUpper(path)} {
		if _, err := files.ReadSource(ctx, one, bad, time.Minute); resource.KindOf(err) != resource.NotFound {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := files.ReadSource(ctx, two, path, time.Minute); resource.KindOf(err) != resource.NotFound {
		t.Errorf("another registry reads the source: %v", err)
	}
	if status, _, _ := request(t, client, "GET", strings.Replace(link, one, two, 1), ""); status != 403 {
		t.Errorf("a URL of one registry opens another's: %d", status)
	}
	if err := files.ForgetRun(ctx, one, "none", path); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := request(t, client, "GET", link, ""); status != 404 {
		t.Errorf("after it was forgotten: %d", status)
	}
}

func TestLogsOfBuilds(t *testing.T) {
	files, client := newTaskFiles(t)
	ctx := t.Context()
	const key = "0a1b2c3d-0000-4000-8000-000000000001"
	if _, err := files.LogLink(ctx, key, "ca1"); resource.KindOf(err) != resource.NotFound {
		t.Fatalf("the log of a run that has none: %v", err)
	}
	log, err := files.OpenLog(ctx, key, "ca1")
	if err != nil {
		t.Fatal(err)
	}
	link, err := files.LogLink(ctx, key, "ca1")
	if err != nil {
		t.Fatal(err)
	}
	log.Write("Step 1/2")
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) { // lines come by themselves, soon
		if _, header, body := request(t, client, "GET", link, ""); body == "Step 1/2\r\n" && header.Get("x-ms-meta-Complete") == "" {
			break
		} else if time.Since(start) > 10*time.Second {
			t.Fatalf("the line does not come: %q", body)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := files.OpenLog(ctx, key, "ca1") // after a restart
	if err != nil {
		t.Fatal(err)
	}
	again.Write(strings.Repeat("x", logPart+10))
	if err := again.Complete("successful"); err != nil {
		t.Fatal(err)
	}
	status, header, body := request(t, client, "GET", link, "")
	if status != 200 || header.Get("x-ms-meta-Complete") != "successful" || body != "Step 1/2\r\n"+strings.Repeat("x", logPart+10)+"\r\n" {
		t.Fatalf("%d %v, %d bytes", status, header, len(body))
	}
	if err := files.Drop(ctx, key); err != nil {
		t.Fatal(err)
	}
	if _, err := files.LogLink(ctx, key, "ca1"); resource.KindOf(err) != resource.NotFound {
		t.Fatalf("after the registry was dropped: %v", err)
	}
}

// A log that is full keeps its beginning and the last words, and says how many lines are missing between.
func TestFullLogOfBuild(t *testing.T) {
	files, client := newTaskFiles(t)
	const key = "0a1b2c3d-0000-4000-8000-000000000001"
	log, err := files.OpenLog(t.Context(), key, "ca1")
	if err != nil {
		t.Fatal(err)
	}
	const lines = logMost/1000 + 2000
	for i := range lines {
		log.Write(fmt.Sprintf("%07d", i) + strings.Repeat("x", 991))
	}
	if err := log.Complete("failed"); err != nil {
		t.Fatal(err)
	}
	link, err := files.LogLink(t.Context(), key, "ca1")
	if err != nil {
		t.Fatal(err)
	}
	_, _, body := request(t, client, "GET", link, "")
	if len(body) > logMost+lastWords*1000+1000 || !strings.HasPrefix(body, "0000000x") || !strings.Contains(body, "are left out here") || !strings.Contains(body, fmt.Sprintf("\n%07dx", lines-1)) {
		t.Errorf("%d bytes: %.100s … %s", len(body), body, body[max(0, len(body)-200):])
	}
}
