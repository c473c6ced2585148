package arm

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

func (d *definition[P]) checkName(id resource.ID) error {
	if d.Name.MatchString(id.Name()) {
		return nil
	}
	return resource.Invalidf("InvalidResourceName", "%q is no name for %s: %s", id.Name(), d.Type, d.NameRule).At("name")
}

// checkCondition applies If-Match and If-None-Match.
func checkCondition(call *Call, doc store.Document, found bool) error {
	if match := header(call, "If-Match"); match != "" {
		switch {
		case !found:
			return resource.Errorf(resource.PreconditionFailed, "PreconditionFailed", "If-Match was given and the resource does not exist")
		case match != "*" && !sameETag(match, doc.ETag):
			return resource.Errorf(resource.PreconditionFailed, "PreconditionFailed", "The ETag %s does not match the resource's present one \"%s\"; read it again and repeat the change.", match, doc.ETag)
		}
	}
	if none := header(call, "If-None-Match"); none != "" && found && (none == "*" || sameETag(none, doc.ETag)) {
		return resource.Errorf(resource.PreconditionFailed, "PreconditionFailed", "If-None-Match was given and the resource exists already")
	}
	return nil
}

func header(call *Call, name string) string {
	if values := call.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func sameETag(given, have string) bool {
	return strings.Trim(strings.TrimPrefix(strings.TrimSpace(given), "W/"), `"`) == have
}

// checkPlace makes sure that what a new resource lies in exists, and that a name that must be unused is.
func (d *definition[P]) checkPlace(ctx context.Context, call *Call, id resource.ID, found bool) error {
	if found {
		return nil
	}
	if err := call.Manager.checkGroup(ctx, id); err != nil {
		return err
	}
	place, err := d.place(id)
	if err != nil {
		return err
	}
	for scope := place; !scope.IsRoot(); scope = scope.Parent() {
		if d.ImplicitParent && scope.Equal(id.Parent()) {
			continue
		}
		exists, err := call.Manager.Exists(ctx, scope)
		if err != nil {
			return err
		}
		if exists {
			break
		}
		switch {
		case scope.Type().Is(resource.TypeSubscription):
			return resource.NotFoundf("SubscriptionNotFound", "The subscription '%s' could not be found.", scope.Name())
		case scope.Type().Is(resource.TypeResourceGroup):
			return resource.NotFoundf("ResourceGroupNotFound", "Resource group '%s' could not be found.", scope.Name())
		case d.Scopes:
			return resource.NotFoundf("ResourceNotFound", "The scope '%s' does not exist.", scope)
		}
		return resource.NotFoundf("ParentResourceNotFound", "Failed to perform '%s' on resource(s) of type '%s', because the parent resource '%s' could not be found.", strings.ToLower(call.Method), d.Type, scope)
	}
	if d.GlobalName {
		docs, err := call.Manager.Store.List(ctx, store.Query{Kind: d.Type.Key()})
		if err != nil {
			return err
		}
		for _, doc := range docs {
			if doc.Key != d.key(id) && strings.HasSuffix(doc.Key, "/"+strings.ToLower(id.Name())) {
				return resource.Conflictf("NameAlreadyExists", "The name '%s' is taken; names of %s are unique across all groups.", id.Name(), d.Type).At("name")
			}
		}
	}
	going, err := call.Manager.Store.List(ctx, store.Query{Kind: deletedKind, Prefix: deletedBelow(d.key(id)) + "#", Limit: 1})
	if err != nil || len(going) == 0 {
		return err
	}
	return resource.Conflictf("ResourceBeingDeleted", "The resource '%s' was deleted, and what it held is still being removed; try again in a moment.", id)
}

// checkGroup refuses to put anything into a group that is being deleted.
func (m *Manager) checkGroup(ctx context.Context, id resource.ID) error {
	group := id.GroupID()
	if group.IsRoot() || group.Equal(id) {
		return nil
	}
	doc, err := m.Store.Get(ctx, group.Key())
	if resource.KindOf(err) == resource.NotFound {
		return nil // checkPlace says so
	}
	if err != nil {
		return err
	}
	var state struct {
		State string `json:"state"`
	}
	if err := json.Unmarshal(doc.Body, &state); err != nil {
		return err
	}
	if state.State == Deleting {
		return resource.Conflictf("ResourceGroupBeingDeleted", "The resource group '%s' is in deprovisioning state and cannot perform this operation.", group.Name())
	}
	return nil
}

// place is what a resource lies in or sits on, as far as that must exist.
func (d *definition[P]) place(id resource.ID) (resource.ID, error) {
	if d.Place == nil {
		return id.Parent(), nil
	}
	return d.Place(id.Parent())
}

// placeOps gives the ops that make a new resource depend on what it lies in being there, and on nothing of its
// predecessor being left.
func (d *definition[P]) placeOps(id resource.ID) ([]store.Op, error) {
	ops := []store.Op{store.Vacant{Prefix: deletedBelow(d.key(id)) + "#"}}
	parent, err := d.place(id)
	if err != nil {
		return nil, err
	}
	if d.ImplicitParent {
		parent = parent.Parent()
	}
	if !parent.IsRoot() {
		ops = append(ops, store.Expect{Key: parent.Key(), IfMatch: store.Any})
	}
	return ops, nil
}

// Exists tells whether a scope is there. Scopes of types that nobody declared count as absent.
func (m *Manager) Exists(ctx context.Context, id resource.ID) (bool, error) {
	if id.IsRoot() {
		return true, nil
	}
	_, err := m.Store.Get(ctx, id.Key())
	if err == nil {
		return true, nil
	}
	if resource.KindOf(err) == resource.NotFound {
		return false, nil
	}
	return false, err
}

func (d *definition[P]) defaultLocation(ctx context.Context, call *Call, old *Resource[P]) (string, error) {
	if old != nil {
		return old.Location, nil
	}
	doc, err := call.Manager.Store.Get(ctx, call.Target.ID.GroupID().Key())
	if err != nil {
		if d.Type.Is(resource.TypeResourceGroup) || resource.KindOf(err) == resource.NotFound {
			return "", resource.Invalidf("LocationRequired", "The location property is required for this definition.").At("location")
		}
		return "", err
	}
	var group struct {
		Location string `json:"location"`
	}
	if err := json.Unmarshal(doc.Body, &group); err != nil {
		return "", err
	}
	return group.Location, nil
}
