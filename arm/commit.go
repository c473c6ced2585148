package arm

import (
	"context"
	"encoding/json"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// commit writes the change with everything that belongs to it in one atomic step.
func (d *definition[P]) commit(ctx context.Context, call *Call, change *Change[P], prev *stored[P], doc store.Document) (*Response, error) {
	next := &stored[P]{Resource: *change.Next, State: Succeeded}
	status := d.Created
	var ops []store.Op
	if prev == nil {
		var err error
		if ops, err = d.placeOps(call.Target.ID); err != nil {
			return nil, err
		}
	} else {
		if d.Key == nil { // keep the names as they were first written
			change.Next.ID, change.Next.Name = prev.ID, prev.Name
		}
		status = d.Replaced
		if prev.State == Deleting {
			return nil, resource.Conflictf("ResourceBeingDeleted", "The resource '%s' is being deleted; try again when it is gone.", prev.ID)
		}
	}
	for _, part := range []func() ([]store.Op, error){
		func() ([]store.Op, error) { return d.identities(ctx, call, change, prev) },
		func() ([]store.Op, error) {
			change.Next.SystemData = call.SystemData(prevSystemData(prev))
			if d.Commit == nil {
				return nil, nil
			}
			return d.Commit(ctx, change)
		},
		func() ([]store.Op, error) { return d.claimOps(ctx, call, change.Next, change.Prev) },
	} {
		more, err := part()
		if err != nil {
			return nil, err
		}
		ops = append(ops, more...)
	}
	next.Resource = *change.Next
	operation, begin, err := d.beginProvision(call, change, prev, next)
	if err != nil {
		return nil, err
	}
	put := store.Put{Key: d.key(call.Target.ID), Kind: d.Type.Key(), IfMatch: store.None}
	if prev != nil {
		put.IfMatch = doc.ETag
	}
	if put.Body, err = d.encode(next); err != nil {
		return nil, err
	}
	written, err := call.Manager.Store.Apply(ctx, append(append([]store.Op{put}, ops...), begin...)...)
	if err != nil {
		return nil, raced(err, next.ID)
	}
	next.ETag = written[0].ETag
	body, err := d.show(ctx, call, next)
	if err != nil {
		return nil, err
	}
	response := &Response{Status: status, Body: body, ETag: next.ETag}
	if operation != nil {
		response.Header = operation.headers(call)
		if !d.Followed {
			response.Status = 202
		}
	}
	return response, nil
}

// beginProvision makes the operation that provisions next, when this write needs one, and gives the ops that begin it.
func (d *definition[P]) beginProvision(call *Call, change *Change[P], prev, next *stored[P]) (*Operation, []store.Op, error) {
	if d.Provision == nil {
		return nil, nil, nil
	}
	if prev != nil && (prev.State == Creating || prev.State == Updating) {
		return nil, nil, resource.Conflictf("AnotherOperationInProgress", "The resource '%s' is being provisioned by operation %s; wait until it has ended.", next.ID, prev.Operation)
	}
	failed := prev != nil && prev.State == Failed
	if d.NeedsProvision != nil && !failed && !d.NeedsProvision(change) {
		return nil, nil, nil
	}
	next.State = Creating
	if prev != nil && !failed {
		next.State = Updating
	}
	operation := call.newOperation(next.ID, Write)
	next.Operation = operation.ID
	ops, err := operation.start()
	return operation, ops, err
}

func prevSystemData[P any](prev *stored[P]) *SystemData {
	if prev == nil {
		return nil
	}
	return prev.SystemData
}

// SystemData says who makes a resource, or who changes the one that had prev.
func (call *Call) SystemData(prev *SystemData) *SystemData {
	by, kind, now := call.Who.Name, "Application", call.Manager.Clock().UTC()
	if call.Who.Type == "User" {
		kind = "User"
	} else if call.Who.ResourceID != "" {
		kind = "ManagedIdentity"
	}
	data := &SystemData{CreatedBy: by, CreatedByType: kind, CreatedAt: now, LastModifiedBy: by, LastModifiedByType: kind, LastModifiedAt: now}
	if prev != nil {
		data.CreatedBy, data.CreatedByType, data.CreatedAt = prev.CreatedBy, prev.CreatedByType, prev.CreatedAt
	}
	return data
}

// Document makes the stored form of a resource that is written beside the pipeline's own write: in a Commit, or by a
// plane that has authorized it itself. The condition is the caller's to set.
func Document[P any](r *Resource[P]) (store.Put, error) {
	document := stored[P]{Resource: *r, State: Succeeded}
	document.ETag = ""
	body, err := json.Marshal(document)
	return store.Put{Key: r.ID.Key(), Kind: r.Type.Key(), Body: body}, err
}
