package arm

import (
	"context"
	"sort"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

func (d *definition[P]) remove(ctx context.Context, call *Call) (*Response, error) {
	id := call.Target.ID
	if d.ReadOnly {
		return nil, resource.Errorf(resource.MethodNotAllowed, "MethodNotAllowed", "%s cannot be deleted", d.Type)
	}
	r, doc, found, err := d.load(ctx, call, id)
	if err != nil {
		return nil, err
	}
	var prev *Resource[P]
	if found {
		prev = &r.Resource
	}
	if err := call.Manager.authorize(ctx, call, d.permission(Remove, prev, prev), id); err != nil {
		return nil, err
	}
	if !found {
		if d.Type.Is(resource.TypeResourceGroup) {
			return nil, d.notFound(id)
		}
		return &Response{Status: 204}, nil
	}
	if d.LinkedDelete != nil {
		linked, err := d.LinkedDelete(ctx, call, prev)
		if err != nil {
			return nil, err
		}
		if err := call.Manager.authorize(ctx, call, d.permission(Remove, prev, prev), id, linked...); err != nil {
			return nil, err
		}
	}
	if err := checkCondition(call, doc, found); err != nil {
		return nil, err
	}
	if d.about().longDelete {
		return d.startDelete(ctx, call, r, doc)
	}
	body, err := d.show(ctx, call, r)
	if err != nil {
		return nil, err
	}
	if err := call.Manager.deleteTree(ctx, call, d, doc); err != nil {
		return nil, err
	}
	return &Response{Status: 200, Body: body}, nil
}

// startDelete marks the resource and leaves the rest to a durable operation.
func (d *definition[P]) startDelete(ctx context.Context, call *Call, r *stored[P], doc store.Document) (*Response, error) {
	operation := call.newOperation(r.ID, Remove)
	ops, err := operation.start()
	if err != nil {
		return nil, err
	}
	r.State, r.Operation = Deleting, operation.ID
	body, err := d.encode(r)
	if err != nil {
		return nil, err
	}
	ops = append(ops, store.Put{Key: doc.Key, Kind: doc.Kind, Body: body, IfMatch: doc.ETag})
	if _, err := call.Manager.Store.Apply(ctx, ops...); err != nil {
		return nil, raced(err, r.ID)
	}
	return &Response{Status: 202, Header: operation.headers(call)}, nil
}

// deleteTree removes a resource with everything below it, children and extensions such as role assignments, in one
// atomic change. Nothing is removed when one of them must not be.
func (m *Manager) deleteTree(ctx context.Context, call *Call, t Type, doc store.Document) error {
	type victim struct {
		t   Type
		doc store.Document
	}
	victims := []victim{{t, doc}}
	for kind, child := range m.types {
		docs, err := m.Store.List(ctx, store.Query{Kind: kind, Prefix: doc.Key + "/"})
		if err != nil {
			return err
		}
		for _, below := range docs {
			victims = append(victims, victim{child, below})
		}
	}
	sort.Slice(victims, func(i, j int) bool { return victims[i].doc.Key > victims[j].doc.Key })
	going := make(map[string]bool, len(victims))
	for _, v := range victims {
		going[v.doc.Key] = true
	}
	if err := m.checkUnused(ctx, going); err != nil {
		return err
	}
	seen := map[string]bool{}
	var ops []store.Op
	add := func(op store.Op, key string) {
		if !seen[key] {
			seen[key] = true
			ops = append(ops, op)
		}
	}
	for _, v := range victims {
		add(store.Delete{Key: v.doc.Key, IfMatch: v.doc.ETag}, v.doc.Key)
		more, err := v.t.deletionOps(ctx, call, v.doc)
		if err != nil {
			return err
		}
		for _, op := range more {
			if removal, ok := op.(store.Delete); ok {
				add(op, removal.Key)
			} else {
				ops = append(ops, op)
			}
		}
	}
	if _, err := m.Store.Apply(ctx, ops...); err != nil {
		id, parseErr := resource.ParseID(doc.Key)
		if parseErr != nil {
			return parseErr
		}
		return raced(err, id)
	}
	for _, v := range victims {
		if err := v.t.deleted(ctx, call, v.doc); err != nil {
			return err
		}
	}
	return nil
}

// checkUnused refuses a deletion when a resource that stays needs one that goes.
func (m *Manager) checkUnused(ctx context.Context, going map[string]bool) error {
	for kind, t := range m.types {
		if !t.about().refers {
			continue
		}
		docs, err := m.Store.List(ctx, store.Query{Kind: kind})
		if err != nil {
			return err
		}
		for _, doc := range docs {
			if going[doc.Key] {
				continue
			}
			needs, err := t.references(doc)
			if err != nil {
				return err
			}
			for _, id := range needs {
				if going[id.Key()] {
					return resource.Conflictf("ResourceInUse", "The resource '%s' is in use by '%s'; delete or change that first.", id, doc.Key)
				}
			}
		}
	}
	return nil
}

func (d *definition[P]) deletionOps(ctx context.Context, call *Call, doc store.Document) ([]store.Op, error) {
	r, err := d.decode(doc)
	if err != nil {
		return nil, err
	}
	var ops []store.Op
	if r.Identity.HasSystem() {
		ops = append(ops, call.Manager.Identities.RemoveOps(r.Identity.PrincipalID)...)
	}
	if d.Deleting == nil {
		return ops, nil
	}
	more, err := d.Deleting(ctx, call, &r.Resource)
	return append(ops, more...), err
}

func (d *definition[P]) deleted(ctx context.Context, call *Call, doc store.Document) error {
	if d.Deleted == nil {
		return nil
	}
	r, err := d.decode(doc)
	if err != nil {
		return err
	}
	return d.Deleted(ctx, call, &r.Resource)
}

// Below lists the stored resources of one type under a scope, in the order of their ids.
func (m *Manager) Below(ctx context.Context, scope resource.ID, t resource.Type) ([]store.Document, error) {
	prefix := scope.Key() + "/"
	if scope.IsRoot() {
		prefix = ""
	}
	return m.Store.List(ctx, store.Query{Kind: t.Key(), Prefix: strings.ToLower(prefix)})
}
