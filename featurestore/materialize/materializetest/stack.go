// Package materializetest is a server for tests of materialization and retrieval: the real blob plane over TLS, with a
// guard that tests command, a managed-identity endpoint, and a features plane on an online store in memory. It stands in
// for nothing but the directory, the token service and the resource manager.
package materializetest

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/alvara-ml/alvara/dataplane/blob"
	objects "github.com/alvara-ml/alvara/dataplane/blob/mem"
	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/source"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// Stack is a running server. Principals are known by their names; the token of one is what Token gives.
type Stack struct {
	Blob, Features, Identity string // addresses
	CAFile                   string
	HTTP                     *http.Client
	Runs                     *identity.Runs
	Plane                    *Plane
	Manager                  *http.ServeMux // the resource manager, on the same address as Features; tests fill it

	mu     sync.Mutex
	denied map[string]bool // "{who} {action suffix} {container or plane}"
	gone   map[string]bool
	asked  map[string]int
}

// The containers of the one account.
const (
	Account = "store1"
	Sources = "sources"
	Offline = "offline"
)

// StorageAudience is what tokens for the blob plane are for.
const StorageAudience = "https://storage.azure.com/"

// New starts a stack that ends with the test.
func New(t testing.TB) *Stack {
	t.Helper()
	s := &Stack{Runs: identity.NewRuns(), denied: map[string]bool{}, gone: map[string]bool{}, asked: map[string]int{}, Manager: http.NewServeMux()}
	s.Plane = newPlane(s)
	server := &blob.Server{
		Catalog: catalog{}, Guard: s, Authenticator: s, Objects: objects.New(time.Now), DelegationKey: []byte("a secret of thirty-two bytes !!!"),
		Lookup: func(string) (identity.Principal, bool) { return identity.Principal{}, false }, Authority: "https://login.example/t/oauth2/authorize",
		Clock: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	blobs := httptest.NewTLSServer(server.BlobHandler())
	t.Cleanup(blobs.Close)
	s.Manager.Handle("POST /features/", http.StripPrefix("/features", s.Plane))
	main := httptest.NewTLSServer(s.Manager)
	t.Cleanup(main.Close)
	endpoint := httptest.NewServer(http.HandlerFunc(s.managedIdentity))
	t.Cleanup(endpoint.Close)
	s.Blob, s.Features, s.Identity = blobs.URL, main.URL+"/features", endpoint.URL
	s.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: blobs.Certificate().Raw})
	if err := os.WriteFile(s.CAFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.HTTP = blobs.Client() // all test servers have the same certificate
	return s
}

// URL is the resource manager's address.
func (s *Stack) URL() string { return strings.TrimSuffix(s.Features, "/features") }

// Deny makes the server refuse a principal actions that end so, such as "blobs/read", on a container or "features".
func (s *Stack) Deny(who, action, where string) { s.set(s.denied, who+" "+action+" "+where, true) }

// Allow takes Deny back.
func (s *Stack) Allow(who, action, where string) { s.set(s.denied, who+" "+action+" "+where, false) }

// Remove makes a principal unknown, and Restore known again.
func (s *Stack) Remove(who string)  { s.set(s.gone, who, true) }
func (s *Stack) Restore(who string) { s.set(s.gone, who, false) }

func (s *Stack) set(in map[string]bool, key string, value bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in[key] = value
}

// Asked tells how often a principal was checked for actions that end so.
func (s *Stack) Asked(who, action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[who+" "+action]
}

func (s *Stack) check(who, action, where string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.Split(action, "/")
	suffix := strings.Join(parts[max(len(parts)-2, 0):], "/")
	s.asked[who+" "+suffix]++
	if s.denied[who+" "+suffix+" "+where] {
		return resource.Forbiddenf("AuthorizationFailed", "The client '%s' does not have authorization to perform data action '%s' over scope '%s'.", who, action, where)
	}
	return nil
}

// Check implements blob.Guard.
func (s *Stack) Check(_ context.Context, access blob.Access) error {
	return s.check(access.Who.ID, access.Action, access.Scopes[0].Name())
}

// Token is a principal's token for an audience.
func Token(who, audience string) string { return who + "|" + strings.Trim(audience, "/") }

// Authenticate implements blob.Authenticator.
func (s *Stack) Authenticate(_ context.Context, token, _ string) (identity.Principal, error) {
	return s.principal(token, StorageAudience)
}

func (s *Stack) principal(token, audience string) (identity.Principal, error) {
	who, found, ok := strings.Cut(token, "|")
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok || found != strings.Trim(audience, "/") || s.gone[who] {
		return identity.Principal{}, resource.Errorf(resource.Unauthenticated, "InvalidAuthenticationToken", "The token does not hold for %s.", audience)
	}
	return identity.Principal{ID: who, Name: who, Type: identity.ServicePrincipal}, nil
}

// managedIdentity answers in App Service's form. The identity is the one that every test runs as, since who may have
// which is the identity package's affair.
func (s *Stack) managedIdentity(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	gone := s.gone[Worker]
	s.mu.Unlock()
	if r.Header.Get("X-IDENTITY-HEADER") == "" || gone {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"statusCode":400,"message":"Identity not found"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{
		"access_token": Token(Worker, r.URL.Query().Get("resource")), "token_type": "Bearer", "resource": r.URL.Query().Get("resource"),
		"expires_on": fmt.Sprint(time.Now().Add(time.Hour).Unix()),
	})
}

// Worker is the object id of the materialization identity.
const Worker = "99999999-9999-4999-8999-999999999999"

// Credential is a principal's credential.
type Credential string

// GetToken implements azcore.TokenCredential.
func (c Credential) GetToken(_ context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: Token(string(c), strings.TrimSuffix(options.Scopes[0], ".default")), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// Bucket opens a container as a principal.
func (s *Stack) Bucket(t testing.TB, who, container string) lake.Bucket {
	t.Helper()
	bucket, err := source.Storage{Blob: s.Blob, HTTP: s.HTTP, Credential: Credential(who)}.Bucket(Account, container)
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

// Upload stores a local file.
func (s *Stack) Upload(t testing.TB, container, name, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // only read
	if _, err := s.Bucket(t, "admin", container).Write(context.Background(), name, file, -1, lake.Condition{}); err != nil {
		t.Fatal(err)
	}
}

// catalog has the one account with its containers.
type catalog struct{ blob.Catalog }

func (catalog) Account(_ context.Context, name string) (blob.Account, error) {
	if name != Account {
		return blob.Account{}, resource.NotFoundf("ResourceNotFound", "no account %q", name)
	}
	return blob.Account{ID: accountID, Name: name}, nil
}

var accountID = resource.MustParseID("/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/" + Account)

// ContainerID is the id of a container.
func ContainerID(name string) resource.ID {
	return accountID.Child("blobServices/default/containers", name)
}

func (catalog) Container(_ context.Context, account, name string) (blob.Container, error) {
	if account != Account || (name != Sources && name != Offline) {
		return blob.Container{}, resource.NotFoundf("ResourceNotFound", "no container %q", name)
	}
	return blob.Container{ID: ContainerID(name), Account: account, Name: name, Key: "key-" + name, ETag: "0x1", Modified: time.Unix(0, 0)}, nil
}
