package guard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

type log struct {
	records []audit.Record
	err     error
}

func (l *log) Record(_ context.Context, record audit.Record) error {
	if l.err != nil {
		return l.err
	}
	l.records = append(l.records, record)
	return nil
}

const read = "Microsoft.Storage/storageAccounts/read"

var (
	group = resource.MustParseID("/subscriptions/s/resourceGroups/rg")
	other = resource.MustParseID("/subscriptions/s/resourceGroups/rg10")
	who   = identity.Principal{ID: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", Name: "reader", Groups: []string{"team"}}
	now   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func newGuard(records *log) *guard.Guard {
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	live.Apply(access.PutAssignment{Assignment: access.Assignment{
		ID:     group.Extension("Microsoft.Authorization/roleAssignments", "acdd72a7-3385-48ef-bd42-f606fba81ae7"),
		RoleID: access.RoleReader, PrincipalID: "team", PrincipalType: "Group", Scope: group,
	}})
	return &guard.Guard{Access: live, Audit: records, Clock: func() time.Time { return now }}
}

// BX-06: both outcomes are recorded, with what decided them.
func TestEveryDecisionIsRecorded(t *testing.T) {
	records := &log{}
	g := newGuard(records)
	request := guard.Request{Who: who, Action: read, Scopes: []resource.ID{group}, Plane: "resourceManager", Target: "t", RequestID: "r", Client: "c", Job: "j"}
	if err := g.Check(t.Context(), request); err != nil {
		t.Fatalf("a member of the group is refused: %v", err)
	}
	request.Scopes = []resource.ID{other}
	err := g.Check(t.Context(), request)
	e, _ := resource.AsError(err)
	if e == nil || e.Kind != resource.Forbidden || e.Code != "AuthorizationFailed" {
		t.Fatalf("rg covers rg10: %v", err)
	}
	for _, want := range []string{read, other.String(), who.ID, "'reader'", "alvara role assignment create --assignee " + who.ID} {
		if !strings.Contains(e.Message, want) {
			t.Errorf("the refusal does not say %q: %s", want, e.Message)
		}
	}
	if len(records.records) != 2 {
		t.Fatalf("%d records", len(records.records))
	}
	allowed, refused := records.records[0], records.records[1]
	if !allowed.Allowed || allowed.Role != "Reader" || !strings.Contains(allowed.Assignment, "acdd72a7") || allowed.Principal != who.ID ||
		allowed.Time != now || allowed.RequestID != "r" || allowed.Client != "c" || allowed.Job != "j" || allowed.Target != "t" {
		t.Errorf("the record of what was allowed: %+v", allowed)
	}
	if refused.Allowed || refused.Reason == "" || refused.Scope != other.String() || refused.Assignment != "" {
		t.Errorf("the record of what was refused: %+v", refused)
	}
}

// A right on any of the scopes is enough, and the record names that one; no scopes and no action are refused.
func TestScopes(t *testing.T) {
	records := &log{}
	g := newGuard(records)
	if err := g.Check(t.Context(), guard.Request{Who: who, Action: read, Scopes: []resource.ID{other, group}}); err != nil {
		t.Errorf("a right on the second scope: %v", err)
	}
	if records.records[0].Scope != group.String() {
		t.Errorf("the record names %s", records.records[0].Scope)
	}
	for what, request := range map[string]guard.Request{
		"no scope": {Who: who, Action: read}, "no action": {Who: who, Scopes: []resource.ID{group}},
		"another action": {Who: who, Action: "Microsoft.Storage/storageAccounts/write", Scopes: []resource.ID{group}},
		"a data action":  {Who: who, Action: "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read", Data: true, Scopes: []resource.ID{group}},
		"nobody":         {Action: read, Scopes: []resource.ID{group}},
	} {
		if err := g.Check(t.Context(), request); resource.KindOf(err) != resource.Forbidden {
			t.Errorf("%s: %v", what, err)
		}
		if g.Allowed(request) {
			t.Errorf("%s is allowed to be shown", what)
		}
	}
}

// When the audit log takes no records, nothing is allowed.
func TestNothingWithoutARecord(t *testing.T) {
	g := newGuard(&log{err: errors.New("the disk is full")})
	if err := g.Check(t.Context(), guard.Request{Who: who, Action: read, Scopes: []resource.ID{group}}); err == nil || resource.KindOf(err) != resource.Unavailable {
		t.Errorf("allowed without a record: %v", err)
	}
}
