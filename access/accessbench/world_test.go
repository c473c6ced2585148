package accessbench

import (
	"reflect"
	"testing"
)

func TestWorldIsAsItSays(t *testing.T) {
	size := Size{Assignments: 2000, Principals: 100, CustomRoles: 50, Requests: 512, Groups: 2}
	world, again := Build(7, size), Build(7, size)
	if !reflect.DeepEqual(world.Requests, again.Requests) {
		t.Error("the same seed gives other requests")
	}
	snapshot := world.Live.Snapshot()
	if snapshot.AssignmentCount() != size.Assignments || len(world.Requests) != size.Requests {
		t.Errorf("%d assignments and %d requests", snapshot.AssignmentCount(), len(world.Requests))
	}
	allowed := 0
	for i := range world.Requests {
		r := &world.Requests[i]
		decision := snapshot.Can(*r)
		if decision.Allowed {
			allowed++
		}
		if decision.Allowed && decision.Group == "" && !world.Limit.Probe(r) {
			t.Errorf("the limit misses %+v", r)
		}
		if len(r.Groups) != size.Groups {
			t.Errorf("%d groups", len(r.Groups))
		}
	}
	if allowed != size.Requests/2 {
		t.Errorf("%d of %d are allowed", allowed, size.Requests)
	}
}
