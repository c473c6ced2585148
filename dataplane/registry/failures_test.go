package registry

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store/mem"
)

// fullDriver is a file system that can be full.
type fullDriver struct {
	storagedriver.StorageDriver
	full atomic.Bool
}

func (d *fullDriver) err() error {
	if d.full.Load() {
		return &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return nil
}

func (d *fullDriver) PutContent(ctx context.Context, path string, bytes []byte) error {
	if err := d.err(); err != nil {
		return err
	}
	return d.StorageDriver.PutContent(ctx, path, bytes)
}

func (d *fullDriver) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	if err := d.err(); err != nil {
		return nil, err
	}
	return d.StorageDriver.Writer(ctx, path, append)
}

// A full disk is said clearly and with a status that clients do not repeat; what was there stays, and nothing else is.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	w.grant("somebody", "Owner", resource.Root)
	driver := &fullDriver{StorageDriver: filesystem.New(filesystem.DriverParameters{RootDirectory: t.TempDir(), MaxThreads: 100})}
	engine, err := content.Open(t.Context(), content.Options{Driver: driver, Store: mem.New(), Clock: w.server.Clock})
	if err != nil {
		t.Fatal(err)
	}
	w.server.Content = engine
	header := w.as("somebody", "team/app")
	manifest := w.pushImage(header, "team/app", "v1", "")
	driver.full.Store(true)
	for name, c := range map[string]call{
		"a blob":     {method: "POST", path: "/v2/team/app/blobs/uploads/?digest=" + worldDigest, header: header, body: []byte("hello, world")},
		"a manifest": {method: "PUT", path: "/v2/team/app/manifests/v2", header: with(header, "Content-Type", manifestType), body: append([]byte(" "), manifest...)},
	} {
		if a := w.do(c); a.status != 507 || a.codes() != "INSUFFICIENT_STORAGE" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	w.must(404, call{method: "HEAD", path: "/v2/team/app/blobs/" + worldDigest, header: header})
	w.must(404, call{method: "GET", path: "/v2/team/app/manifests/v2", header: header})
	w.must(200, call{method: "GET", path: "/v2/team/app/manifests/v1", header: header})
	driver.full.Store(false)
	w.pushBlob(header, "team/app", []byte("hello, world"))
}

// The exchange takes tokens of the token service itself, for registries or for the resource manager and for nothing else,
// and of those who may act.
func TestExchangeOfRealTokens(t *testing.T) {
	w := newWorld(t)
	const management, registries, storage = "https://management.azure.com/", "https://containerregistry.azure.net/", "https://storage.azure.com/"
	service, err := identity.NewService(identity.Config{
		Authority: "https://login.example.org", Directory: w.directory, Keys: keys, Store: mem.New(), Clock: w.server.Clock, Log: slog.New(slog.DiscardHandler),
		Resources: []identity.Resource{
			{Name: "resourceManager", Identifiers: []string{management}}, {Name: Audience, Identifiers: []string{registries}}, {Name: "storage", Identifiers: []string{storage}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.server.Authenticator, err = service.Authenticator(); err != nil {
		t.Fatal(err)
	}
	exchange := func(token string) answer {
		return w.post("/oauth2/exchange", url.Values{"grant_type": {"access_token"}, "service": {w.catalog.registries["alpha"].LoginServer}, "access_token": {token}})
	}
	for audience, status := range map[string]int{registries: 200, management: 200, storage: 401} {
		set, err := service.IssueLocal(t.Context(), w.person("somebody"), "client", audience)
		if err != nil {
			t.Fatal(err)
		}
		a := exchange(set.AccessToken)
		if a.status != status {
			t.Errorf("%s: %d %s", audience, a.status, a.body)
		}
		if status != 200 {
			continue
		}
		refresh := w.field(a, "refresh_token")
		if got := w.ping("alpha", basic(NoUser, refresh)); got != 200 {
			t.Errorf("%s: signed in, and %d", audience, got)
		}
		if a := exchange(refresh); a.status != 401 {
			t.Errorf("a refresh token is exchanged: %d %s", a.status, a.body)
		}
		if got := w.ping("alpha", bearer(set.AccessToken)); got != 401 {
			t.Errorf("%s: the token itself opens the registry: %d", audience, got)
		}
		if err := w.directory.DeleteUser(t.Context(), w.person("somebody")); err != nil {
			t.Fatal(err)
		}
		delete(w.people, "somebody")
		if a := exchange(set.AccessToken); a.status != 401 || !strings.Contains(string(a.body), "does not exist") {
			t.Errorf("%s: of somebody who is gone: %d %s", audience, a.status, a.body)
		}
	}
}
