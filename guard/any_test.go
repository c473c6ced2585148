package guard_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/resource"
)

// Any one of the rights suffices, the record is of that one, and a refusal names the first.
func TestCheckAny(t *testing.T) {
	records := &log{}
	g := newGuard(records)
	write := guard.Request{Who: who, Action: "Microsoft.Storage/storageAccounts/write", Scopes: []resource.ID{group}}
	remove := guard.Request{Who: who, Action: "Microsoft.Storage/storageAccounts/delete", Scopes: []resource.ID{group}}
	reads := guard.Request{Who: who, Action: read, Scopes: []resource.ID{group}}
	for _, requests := range [][]guard.Request{{reads}, {reads, write}, {write, reads}, {write, remove, reads}} {
		before := len(records.records)
		if err := g.CheckAny(t.Context(), requests[0], requests[1:]...); err != nil {
			t.Errorf("%v: %v", requests, err)
		}
		if got := records.records[before:]; len(got) != 1 || !got[0].Allowed || got[0].Action != read {
			t.Errorf("%v is recorded as %+v", requests, got)
		}
	}
	before := len(records.records)
	err := g.CheckAny(t.Context(), write, remove)
	if resource.KindOf(err) != resource.Forbidden || !strings.Contains(err.Error(), write.Action) {
		t.Errorf("neither is allowed: %v", err)
	}
	if got := records.records[before:]; len(got) != 1 || got[0].Allowed || got[0].Action != write.Action {
		t.Errorf("the refusal is recorded as %+v", got)
	}
	if err := newGuard(&log{err: errors.New("the disk is full")}).CheckAny(t.Context(), write, reads); resource.KindOf(err) != resource.Unavailable {
		t.Errorf("allowed without a record: %v", err)
	}
}

// A right on what contains the scope, on it, or on something in it counts; one beside it does not.
func TestAllowedBelow(t *testing.T) {
	g := newGuard(&log{})
	for scope, want := range map[string]bool{
		"/subscriptions/s": true, group.String(): true, group.String() + "/providers/Microsoft.Storage/storageAccounts/a": true, other.String(): false, "/subscriptions/t": false,
	} {
		if got := g.AllowedBelow(guard.Request{Who: who, Action: read, Scopes: []resource.ID{resource.MustParseID(scope)}}); got != want {
			t.Errorf("%s: %v, expected %v", scope, got, want)
		}
	}
}
