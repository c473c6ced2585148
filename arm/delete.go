package arm

import (
	"context"
	"sort"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

func (d *definition[P]) remove(ctx context.Context, call *Call) (*Response, error) {
	return again(func() (*Response, error) { return d.removeOnce(ctx, call) })
}

func (d *definition[P]) removeOnce(ctx context.Context, call *Call) (*Response, error) {
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
	permission := d.wanted(call, Remove, id, prev)
	if err := call.Manager.authorize(ctx, call, permission, id); err != nil {
		return nil, err
	}
	if d.Permanent {
		return nil, resource.Errorf(resource.MethodNotAllowed, "MethodNotAllowed", "%s cannot be deleted by itself; it goes with '%s'", d.Type, id.Parent())
	}
	if !found {
		if d.longDelete() {
			return nil, d.notFound(id)
		}
		return &Response{Status: 204}, nil
	}
	along, linked, err := d.linkedDelete(ctx, call, prev)
	if err != nil {
		return nil, err
	}
	if err := call.Manager.authorizeLinked(ctx, call, permission, id, linked); err != nil {
		return nil, err
	}
	if err := checkCondition(call, doc, found); err != nil {
		return nil, err
	}
	if d.longDelete() {
		return d.startDelete(ctx, call, r, doc)
	}
	body, err := d.show(ctx, call, r)
	if err != nil {
		return nil, err
	}
	if err := call.Manager.deleteTree(ctx, call, doc.Key, doc.ETag, along...); err != nil {
		return nil, err
	}
	return &Response{Status: 200, Body: body}, nil
}

// linkedDelete gives what goes along with a deletion, and everything that the caller must be allowed for it.
func (d *definition[P]) linkedDelete(ctx context.Context, call *Call, r *Resource[P]) (along []resource.ID, linked []Requirement, err error) {
	if d.LinkedDelete != nil {
		if linked, err = d.LinkedDelete(ctx, call, r); err != nil {
			return nil, nil, err
		}
	}
	if d.Along != nil {
		if along, err = d.Along(ctx, call, r); err != nil {
			return nil, nil, err
		}
	}
	for _, id := range along {
		linked = append(linked, Requirement{Action: string(id.Type()) + "/" + string(Remove), Scope: id})
	}
	return along, linked, nil
}

// startDelete marks the resource and leaves the rest to a durable operation. A deletion that is under way is joined.
func (d *definition[P]) startDelete(ctx context.Context, call *Call, r *stored[P], doc store.Document) (*Response, error) {
	operation := call.newOperation(r.ID, Remove)
	if r.State == Deleting && r.Operation != "" {
		operation.ID = r.Operation
		return &Response{Status: 202, Header: operation.headers(call)}, nil
	}
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

// Remove deletes a resource, with everything below it, for a plane that has authorized the deletion itself. An absent one
// gives NotFound, one that is needed Conflict.
func (m *Manager) Remove(ctx context.Context, id resource.ID) error {
	doc, err := m.Store.Get(ctx, id.Key())
	if err != nil {
		return err
	}
	call := &Call{Method: "DELETE", Target: Target{ID: id, Type: id.Type()}, Manager: m}
	return m.deleteTree(ctx, call, doc.Key, doc.ETag)
}

// victim is a document that goes with a deletion.
type victim struct {
	t   Type
	doc store.Document
}

// deleteTree removes a resource with everything below it, children and extensions such as role assignments, in one
// atomic change. Nothing is removed when one of them must not be. What others make below it at the same time is either
// removed too or refused: nothing is left without its parent. What goes along goes with everything below it, as far as it is there.
func (m *Manager) deleteTree(ctx context.Context, call *Call, key, etag string, along ...resource.ID) error {
	for attempt := 0; ; attempt++ {
		root, err := m.Store.Get(ctx, key)
		if resource.KindOf(err) == resource.NotFound || (err == nil && root.ETag != etag) {
			return changedMeanwhile(key, nil)
		}
		if err != nil {
			return err
		}
		victims, err := m.victims(ctx, root)
		if err != nil {
			return err
		}
		roots := []string{key}
		for _, id := range along {
			doc, err := m.Store.Get(ctx, id.Key())
			if resource.KindOf(err) == resource.NotFound {
				continue
			}
			if err != nil {
				return err
			}
			more, err := m.victims(ctx, doc)
			if err != nil {
				return err
			}
			victims, roots = append(victims, more...), append(roots, doc.Key)
		}
		going := make(map[string]bool, len(victims))
		for _, v := range victims {
			going[v.doc.Key] = true
		}
		ops, err := deletion(ctx, call, victims) // a type's own reason to stay says more than that it is in use
		if err != nil {
			return err
		}
		for _, root := range roots {
			if err := m.checkUnused(ctx, root, going); err != nil {
				return err
			}
			ops = append(ops, store.Vacant{Prefix: root + "/"}, store.Vacant{Prefix: referencesBelow(root)})
		}
		_, err = m.Store.Apply(ctx, ops...)
		if err == nil {
			return m.awaitDeleted(ctx, roots)
		}
		if !conflicts(err) || attempt == maxRaces {
			return changedMeanwhile(key, err)
		}
	}
}

// victims finds what lies at and below a document, what lies deepest first.
func (m *Manager) victims(ctx context.Context, root store.Document) ([]victim, error) {
	victims := []victim{{m.types[root.Kind], root}}
	for kind, t := range m.types {
		docs, err := m.Store.List(ctx, store.Query{Kind: kind, Prefix: root.Key + "/"})
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			victims = append(victims, victim{t, doc})
		}
	}
	sort.Slice(victims, func(i, j int) bool { return victims[i].doc.Key > victims[j].doc.Key })
	return victims, nil
}

// deletion gives the ops that remove the victims with all that belongs to them, each document once.
func deletion(ctx context.Context, call *Call, victims []victim) ([]store.Op, error) {
	seen := map[string]bool{}
	var ops []store.Op
	add := func(op store.Op) {
		if removal, ok := op.(store.Delete); ok {
			if seen[removal.Key] {
				return
			}
			seen[removal.Key] = true
		}
		ops = append(ops, op)
	}
	for _, v := range victims {
		add(store.Delete{Key: v.doc.Key, IfMatch: v.doc.ETag})
		more, err := v.t.deletionOps(ctx, call, v.doc)
		if err != nil {
			return nil, err
		}
		for _, op := range more {
			add(op)
		}
	}
	return ops, nil
}

func (d *definition[P]) deletionOps(ctx context.Context, call *Call, doc store.Document) ([]store.Op, error) {
	r, err := d.decode(doc)
	if err != nil {
		return nil, err
	}
	ops, err := d.claimOps(ctx, call, nil, &r.Resource)
	if err != nil {
		return nil, err
	}
	if r.Identity.HasSystem() {
		ops = append(ops, call.Manager.Identities.RemoveOps(r.Identity.PrincipalID)...)
	}
	if d.Deleted != nil {
		later, err := forget(doc)
		if err != nil {
			return nil, err
		}
		ops = append(ops, later...)
	}
	if d.Deleting == nil {
		return ops, nil
	}
	more, err := d.Deleting(ctx, call, &r.Resource)
	return append(ops, more...), err
}

// Below lists the stored resources of one type under a scope, in the order of their ids.
func (m *Manager) Below(ctx context.Context, scope resource.ID, t resource.Type) ([]store.Document, error) {
	prefix := scope.Key() + "/"
	if scope.IsRoot() {
		prefix = ""
	}
	return m.Store.List(ctx, store.Query{Kind: t.Key(), Prefix: prefix})
}
