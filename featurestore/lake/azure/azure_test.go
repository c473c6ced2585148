package azure_test

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/featurestore/lake/azure"
	"github.com/alvara-ml/alvara/featurestore/lake/laketest"
	"github.com/alvara-ml/alvara/resource"
)

type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func serve(t *testing.T, token string) (*fake, *azure.Bucket) {
	t.Helper()
	f := &fake{blobs: map[string]blob{}, blocks: map[string][]byte{}}
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	b, err := azure.Open(server.URL+strings.TrimSuffix(container, "/"), credential(token), azure.Options{
		HTTP: server.Client(), Retry: &policy.RetryOptions{MaxRetries: 2, RetryDelay: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	return f, b
}

func TestBucket(t *testing.T) {
	laketest.Run(t, func(t *testing.T) lake.Bucket {
		_, b := serve(t, "token")
		return b
	})
}

// FS-08: a missing grant is named by whoever refuses, and the message reaches the caller whatever the operation.
func TestRefusalKeepsTheServicesMessage(t *testing.T) {
	f, b := serve(t, "token")
	f.refuse = "The client 'c' does not have authorization to perform action 'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read' over scope '/subscriptions/s/lake'."
	_, stat := b.Stat(t.Context(), "a")
	_, read := b.Read(t.Context(), "a", 0, lake.ToEnd)
	_, write := b.Write(t.Context(), "a", strings.NewReader("x"), 1, lake.Condition{})
	list := b.List(t.Context(), "", func(lake.Object) error { return nil })
	for name, err := range map[string]error{"stat": stat, "read": read, "write": write, "list": list, "delete": b.Delete(t.Context(), "a")} {
		e, ok := resource.AsError(err)
		if !ok || e.Kind != resource.Forbidden || e.Code != "AuthorizationPermissionMismatch" || e.Message != f.refuse {
			t.Errorf("%s gives %#v", name, err)
		}
	}
	_, other := serve(t, "forged")
	if _, err := other.Read(t.Context(), "a", 0, lake.ToEnd); resource.KindOf(err) != resource.Unauthenticated {
		t.Errorf("a forged token gives %v", err)
	}
}

// A create whose answer is lost is sent again by the client, and then looks as if another had come first. Callers must
// find out by the content.
func TestCreateWithALostAnswer(t *testing.T) {
	f, b := serve(t, "token")
	f.drop = 1
	_, err := b.Write(t.Context(), "v1", strings.NewReader("mine"), 4, lake.Condition{IfNoneMatch: true})
	if resource.KindOf(err) != resource.PreconditionFailed || err == nil {
		t.Fatalf("got %v", err)
	}
	if content, err := lake.ReadAll(t.Context(), b, "v1"); err != nil || string(content) != "mine" {
		t.Fatalf("the object holds %q (%v)", content, err)
	}
}

func TestServiceAway(t *testing.T) {
	b, err := azure.Open("https://127.0.0.1:1/account/lake", credential("token"), azure.Options{Retry: &policy.RetryOptions{MaxRetries: -1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stat(t.Context(), "a"); resource.KindOf(err) != resource.Unavailable {
		t.Fatalf("got %v", err)
	}
}
