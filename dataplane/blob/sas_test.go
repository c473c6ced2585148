package blob_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/alvara-ml/alvara/dataplane/blob"
)

// signer signs on behalf of a principal with a user delegation key.
type signer struct {
	w   *world
	key *service.UserDelegationCredential
}

func (w *world) signer(t testing.TB, who string, hosts bool) signer {
	t.Helper()
	now := time.Now().UTC()
	key, err := w.as(t, who, hosts).ServiceClient().GetUserDelegationCredential(t.Context(), service.KeyInfo{
		Start: to.Ptr(now.Add(-time.Minute).Format(time.RFC3339)), Expiry: to.Ptr(now.Add(time.Hour).Format(time.RFC3339))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer{w, key}
}

// sign gives the query of a SAS.
func (s signer) sign(t testing.TB, v sas.BlobSignatureValues) string {
	t.Helper()
	if v.ExpiryTime.IsZero() {
		v.ExpiryTime = time.Now().UTC().Add(10 * time.Minute)
	}
	v.Protocol = sas.ProtocolHTTPS
	return encode(v.SignWithUserDelegation(s.key))
}

func encode(query sas.QueryParameters, err error) string {
	if err != nil {
		panic(err)
	}
	return query.Encode()
}

func get(url string) call { return call{method: http.MethodGet, url: url} }

func (w *world) status(t testing.TB, c call, want int) {
	t.Helper()
	if r, body := w.send(t, "", c); r.StatusCode != want {
		t.Errorf("%s %s: %s, want %d: %s", c.method, c.url, r.Status, want, body)
	}
}

func TestUserDelegationSAS(t *testing.T) {
	for _, hosts := range []bool{false, true} {
		t.Run(fmt.Sprintf("hosts=%v", hosts), func(t *testing.T) {
			w := newWorld(t, "mem")
			w.fill(t)
			w.guard.allow("id-of-delegator", accountID("acct"), blob.ActionDelegationKey)
			w.guard.allow("id-of-delegator", containerID("acct", "data"), everything)
			s := w.signer(t, "delegator", hosts)
			put := map[string]string{"x-ms-blob-type": "BlockBlob"}

			one := s.sign(t, sas.BlobSignatureValues{ContainerName: "data", BlobName: "dir/old", Permissions: "r"})
			w.status(t, get("/data/dir/old?"+one), 200)
			w.status(t, get("/data/log?"+one), 403)
			w.status(t, call{method: "PUT", url: "/data/dir/old?" + one, headers: put}, 403)
			w.status(t, call{method: "DELETE", url: "/data/dir/old?" + one}, 403)
			w.status(t, get("/data?restype=container&comp=list&"+one), 403)

			all := s.sign(t, sas.BlobSignatureValues{ContainerName: "data", Permissions: "rl"})
			w.status(t, get("/data/dir/old?"+all), 200)
			w.status(t, get("/data?restype=container&comp=list&"+all), 200)
			w.status(t, get("/private/secret?"+all), 403)
			w.status(t, call{method: "DELETE", url: "/data?restype=container&" + all}, 403)

			fresh := s.sign(t, sas.BlobSignatureValues{ContainerName: "data", Permissions: "c"})
			w.status(t, call{method: "PUT", url: "/data/made?" + fresh, headers: put}, 201)
			w.status(t, call{method: "PUT", url: "/data/made?" + fresh, headers: put}, 403)

			folder := s.sign(t, sas.BlobSignatureValues{ContainerName: "data", Directory: "dir", Permissions: "rlw"})
			w.status(t, get("/data/dir/old?"+folder), 200)
			w.status(t, get("/data/dir/deep/other?"+folder), 200)
			w.status(t, get("/data/log?"+folder), 403)
			w.status(t, get("/data?restype=container&comp=list&prefix=dir/&"+folder), 200)
			w.status(t, get("/data?restype=container&comp=list&prefix=dir&"+folder), 403)
			w.status(t, get("/data?restype=container&comp=list&"+folder), 403)

			// On another container of the same principal's, and on another account: the signature does not reach.
			w.guard.allow("id-of-delegator", containerID("acct", "private"), everything)
			w.status(t, get("/private/secret?"+one), 403)
			w.status(t, get("/private/secret?"+all), 403)

			// The delegator's rights count as they are now.
			w.guard.revoke("id-of-delegator")
			w.status(t, get("/data/dir/old?"+one), 403)
		})
	}
}

func TestSASTerms(t *testing.T) {
	w := newWorld(t, "mem")
	w.fill(t)
	s := w.signer(t, "owner", true)
	base := sas.BlobSignatureValues{ContainerName: "data", BlobName: "dir/old", Permissions: "r"}
	now := time.Now().UTC()
	for name, change := range map[string]func(*sas.BlobSignatureValues){
		"expired":     func(v *sas.BlobSignatureValues) { v.ExpiryTime = now.Add(-time.Second) },
		"not yet":     func(v *sas.BlobSignatureValues) { v.StartTime = now.Add(time.Minute) },
		"another ip":  func(v *sas.BlobSignatureValues) { v.IPRange = sas.IPRange{Start: []byte{10, 0, 0, 1}} },
		"no right":    func(v *sas.BlobSignatureValues) { v.Permissions = "d" },
		"other blob":  func(v *sas.BlobSignatureValues) { v.BlobName = "log" },
		"other box":   func(v *sas.BlobSignatureValues) { v.ContainerName = "private" },
		"recipient":   func(v *sas.BlobSignatureValues) { v.SignedDelegatedUserObjectID = "id-of-friend" },
		"other owner": func(v *sas.BlobSignatureValues) { v.UnauthorizedObjectID = "id-of-friend" },
	} {
		v := base
		change(&v)
		if r, body := w.send(t, "", get("/data/dir/old?"+s.sign(t, v))); r.StatusCode != 403 {
			t.Errorf("%s: %s %s", name, r.Status, body)
		}
	}
	good := base
	good.StartTime, good.IPRange = now.Add(-time.Minute), sas.IPRange{Start: []byte{127, 0, 0, 1}, End: []byte{127, 0, 0, 9}}
	good.ContentType, good.CacheControl, good.CorrelationID = "a/b", "no-cache", "4e9ee4ae-b1c4-4b08-93ad-03ff3ca9ac2d"
	r, body := w.send(t, "", get("/data/dir/old?"+s.sign(t, good)))
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "a/b" || r.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%s %s %v", r.Status, body, r.Header)
	}
	bound := base
	bound.SignedDelegatedUserObjectID = "id-of-friend"
	link := get("/data/dir/old?" + s.sign(t, bound))
	for who, want := range map[string]int{"friend": 200, "stranger": 403, "": 403} {
		if r, body := w.send(t, who, link); r.StatusCode != want {
			t.Errorf("bound to a friend, sent by %q: %s %s", who, r.Status, body)
		}
	}
	gone := signer{w, w.signer(t, "owner", true).key}
	w.Server.Lookup = nil
	if r, _ := w.send(t, "", get("/data/dir/old?"+gone.sign(t, base))); r.StatusCode != 403 {
		t.Errorf("without delegation: %s", r.Status)
	}
}

// TestSASCannotBeChanged: every parameter of a signature is covered by it.
func TestSASCannotBeChanged(t *testing.T) {
	w := newWorld(t, "mem")
	w.fill(t)
	s := w.signer(t, "owner", true)
	v := sas.BlobSignatureValues{ContainerName: "data", BlobName: "dir/old", Permissions: "r", StartTime: time.Now().UTC().Add(-time.Minute),
		ContentType: "a/b", IPRange: sas.IPRange{Start: []byte{127, 0, 0, 1}}}
	query := try(url.ParseQuery(s.sign(t, v)))
	w.status(t, get("/data/dir/old?"+query.Encode()), 200)
	for name := range query {
		for _, value := range []string{"", "x", query.Get(name) + "0", "rwdl", "c", "2999-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "https,http", "127.0.0.1-127.0.0.2", "id-of-stranger"} {
			if value == query.Get(name) {
				continue
			}
			changed := url.Values{}
			for n, values := range query {
				changed[n] = values
			}
			changed[name] = []string{value}
			if r, _ := w.send(t, "", get("/data/dir/old?"+changed.Encode())); r.StatusCode == 200 {
				t.Errorf("%s=%q instead of %q is taken", name, value, query.Get(name))
			}
		}
		if name == "sig" {
			continue
		}
		dropped := url.Values{}
		for n, values := range query {
			if n != name {
				dropped[n] = values
			}
		}
		if r, _ := w.send(t, "", get("/data/dir/old?"+dropped.Encode())); r.StatusCode == 200 {
			t.Errorf("a signature without %s is taken", name)
		}
	}
	added := "&sduoid=id-of-friend&ses=scope"
	w.status(t, get("/data/dir/old?"+query.Encode()+added), 403)
}

// TestDelegationKeyTakesToken: a key is given to the holder of a token with the right to it, and to nobody else.
func TestDelegationKeyTakesToken(t *testing.T) {
	w := newWorld(t, "mem")
	w.fill(t)
	c := call{method: "POST", url: "?restype=service&comp=userdelegationkey", body: fmt.Sprintf(
		"<KeyInfo><Start>%s</Start><Expiry>%s</Expiry></KeyInfo>", time.Now().UTC().Format(time.RFC3339), time.Now().UTC().Add(time.Hour).Format(time.RFC3339))}
	w.guard.allow("id-of-reader", resourceRoot, readerActions)
	w.guard.allow("id-of-delegator", accountID("acct"), blob.ActionDelegationKey)
	for who, want := range map[string]int{"": 401, "reader": 403, "delegator": 200} {
		r, body := w.send(t, who, c)
		if r.StatusCode != want || strings.Contains(body, "<Value>") != (want == 200) {
			t.Errorf("%q: %s %s", who, r.Status, body)
		}
	}
	for _, bad := range []string{"", "<KeyInfo>", "<KeyInfo><Expiry>2999-01-01</Expiry></KeyInfo>", "<KeyInfo><Expiry>2001-01-01</Expiry></KeyInfo>"} {
		c.body = bad
		if r, body := w.send(t, "delegator", c); r.StatusCode != 400 {
			t.Errorf("%q: %s %s", bad, r.Status, body)
		}
	}
	// The holder of a right to keys and to nothing else can sign, and what it signs opens nothing.
	s := w.signer(t, "delegator", true)
	w.status(t, get("/data/dir/old?"+s.sign(t, sas.BlobSignatureValues{ContainerName: "data", BlobName: "dir/old", Permissions: "r"})), 403)
}

func TestSharedKey(t *testing.T) {
	w := newWorld(t, "mem")
	key := "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	client := func(account, key string) *azblob.Client {
		credential := try(azblob.NewSharedKeyCredential(account, key))
		return try(azblob.NewClientWithSharedKeyCredential(w.url(account, false), credential, &azblob.ClientOptions{ClientOptions: w.options()}))
	}
	var used []blob.Access
	w.Server.KeyUsed = func(a blob.Access) { used = append(used, a) }
	c := client("keyed", key)
	try(c.CreateContainer(t.Context(), "data", nil))
	try(c.UploadBuffer(t.Context(), "data", "a b/ü+%", []byte("x"), &azblob.UploadBufferOptions{Metadata: map[string]*string{"k": to.Ptr("v")}}))
	if got := list(t, c, "data", nil); len(got) != 1 || string(download(t, c, "data", "a b/ü+%", nil)) != "x" {
		t.Fatalf("listed %q", got)
	}
	if len(used) != 4 || used[0].Action != blob.ActionContainerWrite {
		t.Fatalf("KeyUsed was told %+v", used)
	}
	if len(w.guard.asked) != 0 {
		t.Fatal("the Guard was asked about a key")
	}
	_, err := client("keyed", "d3Jvbmcga2V5").CreateContainer(t.Context(), "data2", nil)
	wantCode(t, err, 403, "AuthenticationFailed")
	_, err = client("acct", key).CreateContainer(t.Context(), "data2", nil)
	wantCode(t, err, 403, "KeyBasedAuthenticationNotPermitted")

	// Signatures on the account and on a container that a key made, and the same on an account without keys.
	credential := try(azblob.NewSharedKeyCredential("keyed", key))
	expiry := time.Now().UTC().Add(time.Hour)
	account := encode(sas.AccountSignatureValues{ExpiryTime: expiry, Permissions: "rl", ResourceTypes: "co"}.SignWithSharedKey(credential))
	box := encode(sas.BlobSignatureValues{ExpiryTime: expiry, ContainerName: "data", Permissions: "rl"}.SignWithSharedKey(credential))
	for _, query := range []string{account, box} {
		for url, want := range map[string]int{
			w.url("keyed", false) + "data?restype=container&comp=list&" + query: 200,
			w.url("keyed", false) + "data/a%20b/%C3%BC+%25?" + query:            200,
			w.url("keyed", false) + "?comp=list&" + query:                       403,
			w.url("acct", false) + "data/x?" + query:                            403,
		} {
			if r, body := w.sendTo(t, "", call{method: "GET"}, url); r.StatusCode != want {
				t.Errorf("%s: %s %s", url, r.Status, body)
			}
		}
		if r, body := w.sendTo(t, "", call{method: "DELETE"}, w.url("keyed", false)+"data/a%20b/%C3%BC+%25?"+query); r.StatusCode != 403 {
			t.Errorf("deleting: %s %s", r.Status, body)
		}
	}
}
