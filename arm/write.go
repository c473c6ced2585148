package arm

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

func (d *definition[P]) put(ctx context.Context, call *Call) (*Response, error) {
	return d.write(ctx, call, func(prev *stored[P]) (map[string]any, error) { return decodeObject(call.Body) })
}

func (d *definition[P]) patch(ctx context.Context, call *Call) (*Response, error) {
	return d.write(ctx, call, func(prev *stored[P]) (map[string]any, error) {
		if prev == nil {
			return nil, d.notFound(call.Target.ID)
		}
		patch, err := decodeObject(call.Body)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(prev.Resource)
		if err != nil {
			return nil, err
		}
		var now map[string]any
		if err := json.Unmarshal(text, &now); err != nil {
			return nil, err
		}
		return mergePatch(now, patch), nil
	})
}

// write is the way of PUT and PATCH; body gives the whole resource as it is wanted.
func (d *definition[P]) write(ctx context.Context, call *Call, body func(prev *stored[P]) (map[string]any, error)) (*Response, error) {
	id := call.Target.ID
	if d.ReadOnly {
		return nil, resource.Errorf(resource.MethodNotAllowed, "MethodNotAllowed", "%s cannot be written", d.Type)
	}
	prev, doc, found, err := d.load(ctx, call, id)
	if err != nil {
		return nil, err
	}
	var old *Resource[P]
	if found {
		old = &prev.Resource
	} else {
		prev = nil
	}
	// The permission can depend on the kind alone, so that a caller without it learns nothing about the body.
	sketch := &Resource[P]{ID: id, Kind: kindOf(call.Body)}
	permission := d.permission(Write, sketch, old)
	if err := call.Manager.authorize(ctx, call, permission, id); err != nil {
		return nil, err
	}
	wanted, err := body(prev)
	if err != nil {
		return nil, err
	}
	next, err := d.read(id, wanted)
	if err != nil {
		return nil, err
	}
	if err := d.checkName(id); err != nil {
		return nil, err
	}
	if err := checkCondition(call, doc, found); err != nil {
		return nil, err
	}
	if err := d.checkPlace(ctx, call, id, found); err != nil {
		return nil, err
	}
	if d.Tracked && next.Location == "" {
		if next.Location, err = d.defaultLocation(ctx, call, old); err != nil {
			return nil, err
		}
	}
	change := &Change[P]{Call: call, Next: next, Prev: old}
	linked, err := identityRequirements(next.Identity, identityOf(old))
	if err != nil {
		return nil, err
	}
	if d.Linked != nil {
		more, err := d.Linked(ctx, change)
		if err != nil {
			return nil, err
		}
		linked = append(linked, more...)
	}
	if len(linked) > 0 {
		if err := call.Manager.authorize(ctx, call, permission, id, linked...); err != nil {
			return nil, err
		}
	}
	if d.Validate != nil {
		if err := d.Validate(ctx, change); err != nil {
			return nil, err
		}
	}
	return d.commit(ctx, call, change, prev, doc)
}

func kindOf(body []byte) string {
	var sketch struct {
		Kind string `json:"kind"`
	}
	_ = json.Unmarshal(body, &sketch) // a malformed body is refused later, by its reader
	return sketch.Kind
}

func identityOf[P any](r *Resource[P]) *Identity {
	if r == nil {
		return nil
	}
	return r.Identity
}

// read makes a resource of a body. Fields that only the service sets are ignored, as clients send back what they got.
func (d *definition[P]) read(id resource.ID, body map[string]any) (*Resource[P], error) {
	next := &Resource[P]{ID: id, Name: id.Name(), Type: d.Type}
	for name, value := range body {
		var err error
		switch strings.ToLower(name) {
		case "location":
			err = decodeInto("location", value, &next.Location, false)
			next.Location = strings.ToLower(strings.ReplaceAll(next.Location, " ", ""))
		case "kind":
			err = decodeInto("kind", value, &next.Kind, false)
		case "tags":
			err = decodeInto("tags", value, &next.Tags, false)
		case "sku":
			next.SKU, err = json.Marshal(value)
		case "identity":
			if !d.Identities {
				if value == nil {
					continue
				}
				return nil, resource.Invalidf("InvalidRequestContent", "%s carries no identity; leave the field out", d.Type).At("identity")
			}
			next.Identity, err = readIdentity(value)
		case "properties":
			if value == nil {
				continue
			}
			if object, ok := value.(map[string]any); ok && d.Strict {
				delete(object, "provisioningState")
				delete(object, "provisioningError")
			}
			err = decodeInto("properties", value, &next.Properties, d.Strict)
		case "name":
			var given string
			if err = decodeInto("name", value, &given, false); err == nil && given != "" && !strings.EqualFold(given, id.Name()) && !strings.HasSuffix(strings.ToLower(given), strings.ToLower(id.Name())) {
				err = resource.Invalidf("InvalidRequestContent", "name is %q and the path says %q; leave it out or make them agree", given, id.Name()).At("name")
			}
		case "id", "type", "etag", "systemdata", "managedby", "zones", "plan", "extendedlocation":
		default:
			if d.Strict {
				err = resource.Invalidf("InvalidRequestContent", "a resource has no field %q; known are location, kind, tags, sku, identity and properties", name).At(name)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return next, nil
}

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
	for scope := id.Parent(); !scope.IsRoot(); scope = scope.Parent() {
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
			if strings.HasSuffix(doc.Key, "/"+strings.ToLower(id.Name())) {
				return resource.Conflictf("NameAlreadyExists", "The name '%s' is taken; names of %s are unique across all groups.", id.Name(), d.Type).At("name")
			}
		}
	}
	return nil
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

// commit writes the change with everything that belongs to it in one atomic step.
func (d *definition[P]) commit(ctx context.Context, call *Call, change *Change[P], prev *stored[P], doc store.Document) (*Response, error) {
	next := &stored[P]{Resource: *change.Next, State: Succeeded}
	put := store.Put{Key: d.key(call.Target.ID), Kind: d.Type.Key(), IfMatch: store.None}
	status := d.Created
	if prev != nil {
		if d.Key == nil { // keep the names as they were first written
			next.ID, next.Name, change.Next.ID, change.Next.Name = prev.ID, prev.Name, prev.ID, prev.Name
		}
		put.IfMatch, status = doc.ETag, d.Replaced
		if prev.State == Deleting {
			return nil, resource.Conflictf("ResourceBeingDeleted", "The resource '%s' is being deleted; try again when it is gone.", next.ID)
		}
	}
	identityOps, err := d.identities(ctx, call, change, prev)
	if err != nil {
		return nil, err
	}
	next.Identity = change.Next.Identity
	next.SystemData = call.systemData(prevSystemData(prev))
	change.Next.SystemData = next.SystemData
	ops := identityOps
	if d.Commit != nil {
		more, err := d.Commit(ctx, change)
		if err != nil {
			return nil, err
		}
		ops = append(ops, more...)
		next.Resource = *change.Next
	}
	var operation *Operation
	if d.Provision != nil && (d.NeedsProvision == nil || d.NeedsProvision(change)) {
		if prev != nil && (prev.State == Creating || prev.State == Updating) {
			return nil, resource.Conflictf("AnotherOperationInProgress", "The resource '%s' is being provisioned by operation %s; wait until it has ended.", next.ID, prev.Operation)
		}
		next.State = Creating
		if prev != nil && prev.State != Failed {
			next.State = Updating
		}
		operation = call.newOperation(next.ID, Write)
		next.Operation = operation.ID
		operationOps, err := operation.start()
		if err != nil {
			return nil, err
		}
		ops = append(ops, operationOps...)
	}
	if put.Body, err = d.encode(next); err != nil {
		return nil, err
	}
	written, err := call.Manager.Store.Apply(ctx, append([]store.Op{put}, ops...)...)
	if err != nil {
		return nil, raced(err, next.ID)
	}
	next.ETag = written[0].ETag
	change.Next.ETag = next.ETag
	if d.Written != nil {
		if err := d.Written(ctx, change); err != nil {
			return nil, err
		}
	}
	body, err := d.show(ctx, call, next)
	if err != nil {
		return nil, err
	}
	response := &Response{Status: status, Body: body, ETag: next.ETag}
	if operation != nil {
		response.Status = 202
		response.Header = operation.headers(call)
	}
	return response, nil
}

// raced words the loss of a race between two writers.
func raced(err error, id resource.ID) error {
	switch resource.KindOf(err) {
	case resource.PreconditionFailed, resource.Conflict, resource.NotFound:
		return resource.Conflictf("ResourceChanged", "The resource '%s' was changed by someone else at the same time; read it again and repeat the change.", id).Because(err)
	}
	return err
}

func prevSystemData[P any](prev *stored[P]) *SystemData {
	if prev == nil {
		return nil
	}
	return prev.SystemData
}

func (call *Call) systemData(prev *SystemData) *SystemData {
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

// NewGUID makes a random GUID.
func NewGUID() string { return uuid.NewString() }

// Document makes the stored form of a resource that is written beside the pipeline's own write: in a Commit, or by a
// plane that has authorized it itself. The condition is the caller's to set.
func Document[P any](r *Resource[P]) (store.Put, error) {
	document := stored[P]{Resource: *r, State: Succeeded}
	document.ETag = ""
	body, err := json.Marshal(document)
	return store.Put{Key: r.ID.Key(), Kind: r.Type.Key(), Body: body}, err
}
