package acceptance

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/audit"
)

const (
	actionPull   = "Microsoft.ContainerRegistry/registries/pull/read"
	actionPush   = "Microsoft.ContainerRegistry/registries/push/write"
	actionDelete = "Microsoft.ContainerRegistry/registries/artifacts/delete"
)

// MI-08, BX-05: every pull, push and deletion of a registry, allowed and refused, is in the audit log with the object id of who asked, the
// repository, and the tag or digest; so is what the admin user does, and what builds do as their identities.
func TestRegistryAudit(t *testing.T) {
	w := newRegistry(t, "audited")
	records := func() []audit.Record {
		t.Helper()
		found, err := audit.Read(filepath.Join(w.env.Dir, "audit", "audit.log"), func(r audit.Record) bool { return r.Plane == "registry" }, 0)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	seen := 0
	// expect wants a record of what was done since the last step, and that the principal was answered so in all of it.
	expect := func(what, principal, action, target string, allowed bool) {
		t.Helper()
		fresh := records()
		fresh = fresh[:len(fresh)-seen]
		scope := w.id + "/repositories/team:app"
		if !slices.ContainsFunc(fresh, func(r audit.Record) bool {
			return r.Principal == principal && r.Action == action && r.Target == target && r.Allowed == allowed && strings.EqualFold(r.Scope, scope) && r.Client != "" && r.RequestID != "" &&
				(principal == "" || allowed == (r.Role != "")) && (allowed || r.Reason != "")
		}) {
			text, _ := json.MarshalIndent(fresh, "", " ")
			t.Errorf("%s: there is no record of %s by %q on %s (allowed %v) among %s", what, action, principal, target, allowed, text)
		}
		for _, r := range fresh {
			if r.Principal == principal && r.Allowed != allowed {
				t.Errorf("%s: beside it there is %+v", what, r)
			}
		}
	}
	step := func() { seen = len(records()) }

	puller, pusher, deleter, nobody := w.env.ServicePrincipal("puller"), w.env.ServicePrincipal("pusher"), w.env.ServicePrincipal("deleter"), w.env.ServicePrincipal("nobody")
	w.admin.Grant(puller.ObjectID, access.RoleAcrPull, w.id)
	w.admin.Grant(pusher.ObjectID, access.RoleAcrPush, w.id+"/repositories/team:app")
	w.admin.Grant(deleter.ObjectID, roleDelete, w.id)
	c := &registryClient{server: w.loginServer}
	tag := c.ref("team/app:v1")
	image, digest := smallImage()

	step()
	if err := remote.Write(tag, image, pusher.Remote(w.loginServer)...); err != nil {
		t.Fatal(err)
	}
	expect("a push", pusher.ObjectID, actionPush, "team/app:v1", true)
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layerDigest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	for name, by := range map[string]struct {
		user    []remote.Option
		id      string
		allowed bool
	}{"a pull": {puller.Remote(w.loginServer), puller.ObjectID, true}, "nobody's pull": {nobody.Remote(w.loginServer), nobody.ObjectID, false}} {
		step()
		_, err := remote.Get(tag, by.user...)
		if (err == nil) != by.allowed {
			t.Errorf("%s: %v", name, err)
		}
		expect(name+" by tag", by.id, actionPull, "team/app:v1", by.allowed)
		step()
		_, _ = remote.Get(c.ref("team/app@"+digest), by.user...) // as above
		expect(name+" by digest", by.id, actionPull, "team/app@"+digest, by.allowed)
		step()
		if layer, err := remote.Layer(tag.Context().Digest(layerDigest.String()), by.user...); err == nil {
			if content, err := layer.Compressed(); err == nil {
				_ = content.Close() // only that it was asked for is of interest
			}
		}
		expect(name+" of a layer", by.id, actionPull, "team/app@"+layerDigest.String(), by.allowed)
	}
	other, _ := smallImage()
	step()
	if remote.Write(tag, other, puller.Remote(w.loginServer)...) == nil {
		t.Error("AcrPull pushes")
	}
	if fresh := records(); !slices.ContainsFunc(fresh[:len(fresh)-seen], func(r audit.Record) bool {
		return !r.Allowed && r.Principal == puller.ObjectID && r.Action == actionPush && strings.HasPrefix(r.Target, "team/app") && r.Reason != ""
	}) {
		t.Error("a push that was refused is not in the log")
	}
	step()
	if err := remote.Delete(c.ref("team/app@"+digest), pusher.Remote(w.loginServer)...); err == nil {
		t.Error("AcrPush deletes")
	}
	expect("a deletion that is refused", pusher.ObjectID, actionDelete, "team/app@"+digest, false)
	step()
	if err := remote.Delete(c.ref("team/app@"+digest), deleter.Remote(w.loginServer)...); err != nil {
		t.Error(err)
	}
	expect("a deletion", deleter.ObjectID, actionDelete, "team/app@"+digest, true)

	// The admin user has no object id; its records say whose admin user it is.
	mustDo(t, w.admin, "PATCH", w.id, map[string]any{"properties": map[string]any{"adminUserEnabled": true}})
	got := mustDo(t, w.admin, "POST", w.id+"/listCredentials", nil)
	passwords, _ := got.Body["passwords"].([]any)
	password := fmt.Sprint(passwords[0].(map[string]any)["value"])
	step()
	byAdmin := []remote.Option{remote.WithTransport(w.env.HTTP.Transport), remote.WithAuth(&authn.Basic{Username: "audited", Password: password})}
	if err := remote.Write(tag, image, byAdmin...); err != nil {
		t.Fatal(err)
	}
	expect("a push of the admin user", "", actionPush, "team/app:v1", true)
	if _, err := remote.Get(tag, byAdmin...); err != nil {
		t.Fatal(err)
	}
	expect("a pull of the admin user", "", actionPull, "team/app:v1", true)
	for _, r := range records()[:1] {
		if r.Name != "admin user of audited" {
			t.Errorf("the admin user is recorded as %q", r.Name)
		}
	}
	// Nothing that proves anything is written down.
	for _, r := range records() {
		if text := fmt.Sprintf("%+v", r); strings.Contains(text, password) || strings.Contains(text, "eyJ") {
			t.Errorf("a record holds a secret: %s", text)
		}
	}
}

// MI-11: what a build pulls and pushes is in the audit log under the identity that did it.
func TestAuditOfBuilds(t *testing.T) {
	w := newBuilds(t).trusted()
	run := w.build(t, "FROM @base\nRUN write /a b", "app:audited", nil)
	if run.Text("properties.status") != "Succeeded" {
		t.Fatalf("%s", run.Raw)
	}
	records, err := audit.Read(filepath.Join(w.env.Dir, "audit", "audit.log"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]audit.Record{
		"the pull of the base":   {Plane: "registry", Principal: w.builderObject, Action: actionPull, Target: "base/shell:1", Role: "AcrPull"},
		"the push of the result": {Plane: "registry", Principal: w.system, Action: actionPush, Target: "app:audited", Role: "AcrPush"},
	} {
		if !slices.ContainsFunc(records, func(r audit.Record) bool {
			return r.Allowed && r.Plane == want.Plane && r.Principal == want.Principal && r.Action == want.Action && r.Target == want.Target && r.Role == want.Role
		}) {
			t.Errorf("%s is not in the log: %+v", what, want)
		}
	}
	if !slices.ContainsFunc(records, func(r audit.Record) bool {
		return r.Allowed && strings.HasSuffix(r.Action, "registries/scheduleRun/action") && r.Principal == w.admin.PrincipalID()
	}) {
		t.Error("who scheduled the build is not in the log")
	}
}
