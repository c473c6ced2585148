package blob_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/resource"
)

const actionPrefix = "Microsoft.Storage/storageAccounts/blobServices/"

// call is one request of the table below. %s stands for the endpoint with the account.
type call struct {
	name         string
	method, url  string
	body         string
	headers      map[string]string
	needs        []string // actions, behind actionPrefix; all of them
	dfs          bool
	ok           int
	accountScope bool // the right must be held on the account
}

func block(id string) string { return base64.StdEncoding.EncodeToString([]byte(id)) }

// calls holds every operation of both protocols with the rights that it takes (rows FS-05, FS-08: the storage roles).
func calls(source string) []call {
	put := map[string]string{"x-ms-blob-type": "BlockBlob"}
	return []call{
		{name: "list containers", method: "GET", url: "?comp=list", needs: []string{"containers/read"}, ok: 200, accountScope: true},
		{name: "service properties", method: "GET", url: "?restype=service&comp=properties", needs: []string{"read"}, ok: 200, accountScope: true},
		{name: "account info", method: "GET", url: "?restype=account&comp=properties", needs: []string{"containers/read"}, ok: 200, accountScope: true},
		{name: "create container", method: "PUT", url: "/fresh?restype=container", needs: []string{"containers/write"}, ok: 201, accountScope: true},
		{name: "container properties", method: "HEAD", url: "/data?restype=container", needs: []string{"containers/read"}, ok: 200},
		{name: "container metadata", method: "PUT", url: "/data?restype=container&comp=metadata", headers: map[string]string{"x-ms-meta-a": "b"}, needs: []string{"containers/write"}, ok: 200},
		{name: "container acl", method: "GET", url: "/data?restype=container&comp=acl", needs: []string{"containers/read"}, ok: 200},
		{name: "list blobs", method: "GET", url: "/data?restype=container&comp=list", needs: []string{"containers/blobs/read"}, ok: 200},
		{name: "delete container", method: "DELETE", url: "/data?restype=container", needs: []string{"containers/delete"}, ok: 202},
		{name: "put", method: "PUT", url: "/data/new", body: "x", headers: put, needs: []string{"containers/blobs/write"}, ok: 201},
		{name: "overwrite", method: "PUT", url: "/data/dir/old", body: "x", headers: put, needs: []string{"containers/blobs/write"}, ok: 201},
		{name: "get", method: "GET", url: "/data/dir/old", needs: []string{"containers/blobs/read"}, ok: 200},
		{name: "head", method: "HEAD", url: "/data/dir/old", needs: []string{"containers/blobs/read"}, ok: 200},
		{name: "get metadata", method: "GET", url: "/data/dir/old?comp=metadata", needs: []string{"containers/blobs/read"}, ok: 200},
		{name: "block list", method: "GET", url: "/data/dir/old?comp=blocklist", needs: []string{"containers/blobs/read"}, ok: 200},
		{name: "put block", method: "PUT", url: "/data/dir/old?comp=block&blockid=" + block("1"), body: "x", needs: []string{"containers/blobs/write"}, ok: 201},
		{name: "put block list", method: "PUT", url: "/data/dir/old?comp=blocklist", body: "<BlockList></BlockList>", needs: []string{"containers/blobs/write"}, ok: 201},
		{name: "append", method: "PUT", url: "/data/log?comp=appendblock", body: "x", needs: []string{"containers/blobs/write"}, ok: 201},
		{name: "append with add", method: "PUT", url: "/data/log?comp=appendblock", body: "x", needs: []string{"containers/blobs/add/action"}, ok: 201},
		{name: "set metadata", method: "PUT", url: "/data/dir/old?comp=metadata", needs: []string{"containers/blobs/write"}, ok: 200},
		{name: "set properties", method: "PUT", url: "/data/dir/old?comp=properties", needs: []string{"containers/blobs/write"}, ok: 200},
		{name: "set tier", method: "PUT", url: "/data/dir/old?comp=tier", headers: map[string]string{"x-ms-access-tier": "Cool"}, needs: []string{"containers/blobs/write"}, ok: 200},
		{name: "delete", method: "DELETE", url: "/data/dir/old", needs: []string{"containers/blobs/delete"}, ok: 202},
		{name: "copy", method: "PUT", url: "/data/copy", headers: map[string]string{"x-ms-copy-source": source}, needs: []string{"containers/blobs/write", "containers/blobs/read"}, ok: 202},
		{name: "put from url", method: "PUT", url: "/data/copy", headers: map[string]string{"x-ms-copy-source": source, "x-ms-blob-type": "BlockBlob"}, needs: []string{"containers/blobs/write", "containers/blobs/read"}, ok: 201},
		{name: "put block from url", method: "PUT", url: "/data/copy?comp=block&blockid=" + block("1"), headers: map[string]string{"x-ms-copy-source": source}, needs: []string{"containers/blobs/write", "containers/blobs/read"}, ok: 201},

		{name: "list filesystems", method: "GET", url: "?resource=account", needs: []string{"containers/read"}, ok: 200, dfs: true, accountScope: true},
		{name: "create filesystem", method: "PUT", url: "/fresh?resource=filesystem", needs: []string{"containers/write"}, ok: 201, dfs: true, accountScope: true},
		{name: "filesystem properties", method: "HEAD", url: "/data?resource=filesystem", needs: []string{"containers/read"}, ok: 200, dfs: true},
		{name: "set filesystem properties", method: "PATCH", url: "/data?resource=filesystem", needs: []string{"containers/write"}, ok: 200, dfs: true},
		{name: "delete filesystem", method: "DELETE", url: "/data?resource=filesystem", needs: []string{"containers/delete"}, ok: 202, dfs: true},
		{name: "list paths", method: "GET", url: "/data?resource=filesystem&recursive=true&directory=dir", needs: []string{"containers/blobs/read"}, ok: 200, dfs: true},
		{name: "create file", method: "PUT", url: "/data/dir/file?resource=file", needs: []string{"containers/blobs/write"}, ok: 201, dfs: true},
		{name: "create directory", method: "PUT", url: "/data/dir/sub?resource=directory", needs: []string{"containers/blobs/write"}, ok: 201, dfs: true},
		{name: "append data", method: "PATCH", url: "/data/dir/old?action=append&position=3", body: "x", needs: []string{"containers/blobs/write"}, ok: 202, dfs: true},
		{name: "flush data", method: "PATCH", url: "/data/dir/old?action=flush&position=3", needs: []string{"containers/blobs/write"}, ok: 200, dfs: true},
		{name: "flush by override", method: "PUT", url: "/data/dir/old?action=flush&position=3", headers: map[string]string{"X-HTTP-Method-Override": "PATCH"}, needs: []string{"containers/blobs/write"}, ok: 200, dfs: true},
		{name: "status", method: "HEAD", url: "/data/dir/old?action=getStatus", needs: []string{"containers/blobs/read"}, ok: 200, dfs: true},
		{name: "access control", method: "HEAD", url: "/data/dir?action=getAccessControl", needs: []string{"containers/blobs/read"}, ok: 200, dfs: true},
		{name: "access control of root", method: "HEAD", url: "/data/?action=getAccessControl", needs: []string{"containers/blobs/read"}, ok: 200, dfs: true},
		{name: "set access control", method: "PATCH", url: "/data/dir/old?action=setAccessControl", headers: map[string]string{"x-ms-permissions": "rwx------"}, needs: []string{"containers/blobs/write"}, ok: 200, dfs: true},
		{name: "set properties of path", method: "PATCH", url: "/data/dir/old?action=setProperties", needs: []string{"containers/blobs/write"}, ok: 200, dfs: true},
		{name: "read path", method: "GET", url: "/data/dir/old", needs: []string{"containers/blobs/read"}, ok: 200, dfs: true},
		{name: "delete path", method: "DELETE", url: "/data/dir?recursive=true", needs: []string{"containers/blobs/delete"}, ok: 200, dfs: true},
		{name: "rename by move", method: "PUT", url: "/data/moved", headers: map[string]string{"x-ms-rename-source": "/data/dir"}, needs: []string{"containers/blobs/write", "containers/blobs/move/action"}, ok: 201, dfs: true},
		{name: "rename by delete", method: "PUT", url: "/data/moved", headers: map[string]string{"x-ms-rename-source": "/data/dir/old"}, needs: []string{"containers/blobs/write", "containers/blobs/delete"}, ok: 201, dfs: true},
	}
}

// send makes a request as a principal; "" for nobody.
func (w *world) send(t testing.TB, who string, c call) (*http.Response, string) {
	t.Helper()
	base := w.blob.URL + "/acct"
	if c.dfs {
		base = w.dfs.URL + "/acct"
	}
	return w.sendTo(t, who, c, base+c.url)
}

func (w *world) sendTo(t testing.TB, who string, c call, url string) (*http.Response, string) {
	t.Helper()
	r := try(http.NewRequestWithContext(t.Context(), c.method, url, strings.NewReader(c.body)))
	for name, value := range c.headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("x-ms-version", "2025-11-05")
	if who != "" {
		r.Header.Set("Authorization", "Bearer token-of-"+who)
	}
	response := try(w.client().Do(r))
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close() // it was only read
	return response, string(body)
}

// fill makes what the calls work on.
func (w *world) fill(t testing.TB) {
	t.Helper()
	for _, name := range []string{"data", "private"} {
		if _, err := w.catalog.CreateContainer(t.Context(), "acct", name, nil); err != nil {
			t.Fatal(err)
		}
	}
	door := w.As(principal("owner"), "")
	for _, path := range []string{"dir/old", "dir/deep/other"} {
		try(door.Write(t.Context(), "acct", "data", path, strings.NewReader("abc"), blob.Headers{}))
	}
	try(door.Write(t.Context(), "acct", "private", "secret", strings.NewReader("secret"), blob.Headers{}))
	if r, body := w.send(t, "owner", call{method: "PUT", url: "/data/log", headers: map[string]string{"x-ms-blob-type": "AppendBlob"}}); r.StatusCode != 201 {
		t.Fatal(r.Status, body)
	}
}

// TestEveryOperationIsDecided: FS-05, FS-08. Each operation is allowed with exactly its rights, on the right scope, and
// refused with any of them missing, to somebody with all other rights, and to nobody at all.
func TestEveryOperationIsDecided(t *testing.T) {
	for i := range calls("") {
		w := newWorld(t, "mem")
		w.fill(t)
		c := calls(w.blob.URL + "/acct/data/dir/old")[i]
		t.Run(c.name, func(t *testing.T) {
			scope := containerID("acct", "data")
			if c.accountScope {
				scope = accountID("acct")
			}
			refuse := func(who string) {
				t.Helper()
				before := fmt.Sprint(w.everything(t))
				r, body := w.send(t, who, c)
				if r.StatusCode != 403 || r.Header.Get("x-ms-error-code") != "AuthorizationPermissionMismatch" {
					t.Fatalf("%s: %s %s", who, r.Status, body)
				}
				if c.method != "HEAD" && !strings.Contains(body, "would grant it") {
					t.Errorf("the refusal does not say what is missing: %s", body)
				}
				if after := fmt.Sprint(w.everything(t)); after != before {
					t.Errorf("a refused call changed something:\n%s\n%s", before, after)
				}
			}
			refuse("stranger")
			w.guard.allow("id-of-elsewhere", containerID("acct", "private"), everything)
			w.guard.allow("id-of-elsewhere", accountID("acct1"), everything)
			refuse("elsewhere")
			for i := range c.needs {
				who := fmt.Sprintf("without-%d", i)
				for j, action := range c.needs {
					if j != i {
						w.guard.allow("id-of-"+who, scope, actionPrefix+action)
					}
				}
				refuse(who)
			}
			if r, _ := w.send(t, "", c); r.StatusCode != 401 || !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer authorization_uri=https://login.example/"+tenant) {
				t.Fatalf("nobody: %s, challenge %q", r.Status, r.Header.Get("WWW-Authenticate"))
			}
			for _, action := range c.needs {
				w.guard.allow("id-of-exact", scope, actionPrefix+action)
			}
			if r, body := w.send(t, "exact", c); r.StatusCode != c.ok {
				t.Fatalf("with exactly its rights: %s %s", r.Status, body)
			}
		})
	}
}

// everything lists all containers, blobs and versions.
func (w *world) everything(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, c := range try(w.catalog.Containers(t.Context(), "acct", "", "", 100)) {
		out = append(out, c.Name, c.ETag)
		for _, e := range try(w.Objects.List(t.Context(), c.Key, blob.ListQuery{Limit: 1000})).Entries {
			out = append(out, e.Object.Name, e.Object.ETag)
			for _, b := range try(w.Objects.Staged(t.Context(), c.Key, e.Object.Name)) {
				out = append(out, b.ID)
			}
		}
	}
	return out
}

func TestWhatTheGuardIsAsked(t *testing.T) {
	w := newWorld(t, "mem")
	w.fill(t)
	w.guard.asked = nil
	for _, c := range calls(w.blob.URL + "/acct/data/dir/old") {
		w.send(t, "stranger", c)
	}
	asked := map[string]bool{}
	for _, a := range w.guard.asked {
		asked[a.Action] = true
		if a.Data != strings.Contains(a.Action, "/blobs/") || a.Who.Name != "stranger" || a.RequestID == "" || a.Client == "" || len(a.Scopes) == 0 {
			t.Errorf("the Guard was asked %+v", a)
		}
	}
	for _, action := range []string{blob.ActionRead, blob.ActionWrite, blob.ActionDelete, blob.ActionContainerRead, blob.ActionContainerWrite, blob.ActionContainerDelete} {
		if !asked[action] {
			t.Errorf("no call asked for %s", action)
		}
	}
}

// TestStrangersLearnNothing: what is there and what is not look the same to somebody without rights.
func TestStrangersLearnNothing(t *testing.T) {
	w := newWorld(t, "mem")
	w.fill(t)
	shape := func(who, url string) string {
		r, body := w.send(t, who, call{method: "GET", url: url})
		head, _ := w.send(t, who, call{method: "HEAD", url: url})
		for _, name := range []string{"ETag", "Last-Modified", "x-ms-blob-type", "x-ms-creation-time"} {
			if r.Header.Get(name) != "" {
				t.Errorf("%s of %s is told: %s", name, url, r.Header.Get(name))
			}
		}
		first, _, _ := strings.Cut(body, "RequestId")
		return fmt.Sprint(r.StatusCode, head.StatusCode, r.Header.Get("x-ms-error-code"), strings.ReplaceAll(first, "nowhere", "private"))
	}
	for _, who := range []string{"stranger", ""} {
		there := shape(who, "/private/secret")
		if missing := shape(who, "/private/absent"); missing != there {
			t.Errorf("%q: a blob that is there answers %s, one that is not %s", who, there, missing)
		}
		if missing := shape(who, "/nowhere/absent"); missing != there {
			t.Errorf("%q: a blob answers %s, one in no container %s", who, there, missing)
		}
	}
	r, _ := w.sendTo(t, "", call{method: "GET"}, w.blob.URL+"/noaccount/c/b")
	if r.StatusCode != 401 {
		t.Errorf("an account that is not there answers %s to nobody", r.Status)
	}
}

// TestOwners: FS-19. A right on the scope that owns a path is enough, below that path only.
func TestOwners(t *testing.T) {
	w := newWorld(t, "mem")
	w.fill(t)
	set := resource.MustParseID("/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/fs/featuresets/dir")
	w.Server.Owners = func(c blob.Container, path string) []resource.ID {
		if c.Name == "data" && strings.HasPrefix(path, "dir/") {
			return []resource.ID{set}
		}
		return nil
	}
	w.guard.allow("id-of-consumer", set, blob.ActionRead)
	for url, want := range map[string]int{
		"/data/dir/old": 200, "/data/log": 403, "/private/secret": 403,
		"/data?restype=container&comp=list&prefix=dir/": 200, "/data?restype=container&comp=list&prefix=dir": 403, "/data?restype=container&comp=list": 403,
	} {
		if r, body := w.send(t, "consumer", call{method: "GET", url: url}); r.StatusCode != want {
			t.Errorf("%s: %s, want %d: %s", url, r.Status, want, body)
		}
	}
	if r, _ := w.send(t, "consumer", call{method: "DELETE", url: "/data/dir/old"}); r.StatusCode != 403 {
		t.Errorf("deleting: %s", r.Status)
	}
}

func TestDoorAsksTheGuard(t *testing.T) {
	w := newWorld(t, "mem")
	w.fill(t)
	ctx := context.Background()
	stranger, owner := w.As(principal("stranger"), "r1"), w.As(principal("owner"), "r2")
	for _, name := range []string{"data", "nowhere"} {
		_, _, err := stranger.Read(ctx, "acct", name, "dir/old")
		if resource.KindOf(err) != resource.Forbidden || err == nil {
			t.Errorf("a stranger reads in %s: %v", name, err)
		}
	}
	if _, err := stranger.List(ctx, "acct", "data", blob.ListQuery{Limit: 10}); resource.KindOf(err) != resource.Forbidden || err == nil {
		t.Errorf("a stranger lists: %v", err)
	}
	if _, err := stranger.Write(ctx, "acct", "data", "x", strings.NewReader("x"), blob.Headers{}); resource.KindOf(err) != resource.Forbidden || err == nil {
		t.Errorf("a stranger writes: %v", err)
	}
	if err := stranger.Delete(ctx, "acct", "data", "dir/old"); resource.KindOf(err) != resource.Forbidden || err == nil {
		t.Errorf("a stranger deletes: %v", err)
	}
	_, r, err := owner.Read(ctx, "acct", "data", "dir/old")
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	if _, err := io.Copy(&body, r); err != nil || body.String() != "abc" || r.Close() != nil {
		t.Fatalf("read %q, %v", body.String(), err)
	}
	if err := owner.Delete(ctx, "acct", "data", "dir/old"); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Head(ctx, "acct", "data", "dir/old"); resource.KindOf(err) != resource.NotFound || err == nil {
		t.Fatalf("after the delete: %v", err)
	}
	if _, _, err := owner.Read(ctx, "acct", "nowhere", "x"); resource.KindOf(err) != resource.NotFound || err == nil {
		t.Fatalf("no container: %v", err)
	}
}
