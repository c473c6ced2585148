package arm

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Define makes a Type of its declaration.
func Define[P any](spec Spec[P]) Type {
	if spec.Name == nil {
		spec.Name, spec.NameRule = usualName, "1 to 260 letters, digits, '.', '_', '-', '(' or ')', not ending in '.'"
	}
	if spec.Created == 0 {
		spec.Created = 201
	}
	if spec.Replaced == 0 {
		spec.Replaced = 200
	}
	if spec.PermissionType == "" {
		spec.PermissionType = string(spec.Type)
	}
	return &definition[P]{Spec: spec}
}

var usualName = regexp.MustCompile(`^[A-Za-z0-9_\-.()]{0,259}[A-Za-z0-9_\-()]$`)

// definition is a Spec at work. Its methods are the handlers of the pipeline: each asks authorize before it answers.
type definition[P any] struct{ Spec[P] }

// stored is what a resource's document holds.
type stored[P any] struct {
	Resource[P]
	State     string     `json:"state"`               // the provisioning state
	Failure   *wireError `json:"failure,omitempty"`   // why State is Failed
	Operation string     `json:"operation,omitempty"` // the operation that is provisioning it
}

// The provisioning states.
const (
	Succeeded = "Succeeded"
	Failed    = "Failed"
	Creating  = "Creating"
	Updating  = "Updating"
	Deleting  = "Deleting"
)

func (d *definition[P]) name() resource.Type { return d.Type }

func (d *definition[P]) about() *about {
	a := &about{tracked: d.Tracked, apiVersions: d.APIVersions, longDelete: d.longDelete()}
	verbs := []Verb{Read}
	if !d.ReadOnly {
		verbs = append(verbs, Write, Remove)
	}
	for _, verb := range verbs {
		a.operations = append(a.operations, d.permissions(verb)...)
	}
	for _, action := range d.Actions {
		a.operations = append(a.operations, d.actionPermission(action))
	}
	return a
}

// longDelete: deleting a group takes all that it holds along, so it is an operation.
func (d *definition[P]) longDelete() bool { return d.Type.Is(resource.TypeResourceGroup) }

// permissions gives the actions for a verb, for every kind of resource that the type has.
func (d *definition[P]) permissions(verb Verb) []string {
	out := []string{d.permission(verb, &Resource[P]{}, nil)}
	for _, kind := range d.Kinds {
		out = append(out, d.permission(verb, &Resource[P]{Kind: kind}, nil))
	}
	return out
}

// absent is the action to ask where there is no resource whose kind would tell: one that the caller holds, if any. Who
// may see resources of some kind there may know that there is none.
func (d *definition[P]) absent(call *Call, verb Verb, scope resource.ID) string {
	all := d.permissions(verb)
	for _, action := range all {
		if call.Manager.Guard.Allowed(call.Manager.ask(call, Requirement{Action: action, Scope: scope})) {
			return action
		}
	}
	return all[0]
}

// wanted is the action for a verb on a resource that may be absent.
func (d *definition[P]) wanted(call *Call, verb Verb, id resource.ID, r *Resource[P]) string {
	if r == nil {
		return d.absent(call, verb, id)
	}
	return d.permission(verb, r, r)
}

func (d *definition[P]) permission(verb Verb, next, prev *Resource[P]) string {
	if d.Permission != nil {
		return d.Permission(verb, next, prev)
	}
	return d.PermissionType + "/" + string(verb)
}

func (d *definition[P]) actionPermission(action Action[P]) string {
	if action.Permission != "" {
		return action.Permission
	}
	return d.PermissionType + "/" + action.Name + "/action"
}

func (d *definition[P]) key(id resource.ID) string {
	if d.Key != nil {
		return d.Key(id)
	}
	return id.Key()
}

// load reads the stored resource; found is false when there is none.
func (d *definition[P]) load(ctx context.Context, call *Call, id resource.ID) (r *stored[P], doc store.Document, found bool, err error) {
	if d.Find != nil {
		item, found, err := d.Find(ctx, call, id)
		if err != nil || !found {
			return nil, doc, false, err
		}
		return &stored[P]{Resource: *item, State: Succeeded}, store.Document{Key: d.key(id), Kind: d.Type.Key(), ETag: item.ETag}, true, nil
	}
	doc, err = call.Manager.Store.Get(ctx, d.key(id))
	if resource.KindOf(err) == resource.NotFound {
		return nil, doc, false, nil
	}
	if err != nil {
		return nil, doc, false, err
	}
	r, err = d.decode(doc)
	return r, doc, err == nil, err
}

func (d *definition[P]) decode(doc store.Document) (*stored[P], error) {
	r := &stored[P]{}
	if err := json.Unmarshal(doc.Body, r); err != nil {
		return nil, resource.Errorf(resource.Internal, "DocumentCorrupt", "the document %s cannot be read", doc.Key).Because(err)
	}
	r.ETag = doc.ETag
	return r, nil
}

func (d *definition[P]) encode(r *stored[P]) ([]byte, error) {
	copied := *r
	copied.ETag = ""
	return json.Marshal(copied)
}

func (d *definition[P]) notFound(id resource.ID) error {
	if d.Type.Is(resource.TypeResourceGroup) {
		return resource.NotFoundf("ResourceGroupNotFound", "Resource group '%s' could not be found.", id.Name())
	}
	if group := id.ResourceGroup(); group != "" {
		path := id.String()
		path = path[strings.LastIndex(path, "/providers/")+len("/providers/"):]
		return resource.NotFoundf("ResourceNotFound", "The Resource '%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", path, group)
	}
	return resource.NotFoundf("ResourceNotFound", "The Resource '%s' of type '%s' was not found.", id, strings.TrimPrefix(string(id.Type()), "/"))
}

func (d *definition[P]) find(ctx context.Context, call *Call) (*Response, error) {
	id := call.Target.ID
	r, _, found, err := d.load(ctx, call, id)
	if err != nil {
		return nil, err
	}
	var prev *Resource[P]
	if found {
		prev = &r.Resource
	}
	if err := call.Manager.authorize(ctx, call, d.wanted(call, Read, id, prev), id); err != nil {
		return nil, err
	}
	if !found {
		return nil, d.notFound(id)
	}
	if call.Method == "HEAD" {
		return &Response{Status: 204, ETag: r.ETag}, nil
	}
	body, err := d.show(ctx, call, r)
	if err != nil {
		return nil, err
	}
	return &Response{Status: 200, Body: body, ETag: r.ETag}, nil
}

// show makes the body that the caller sees.
func (d *definition[P]) show(ctx context.Context, call *Call, r *stored[P]) (map[string]any, error) {
	shown := r.Resource
	if d.Present != nil {
		copied := r.Resource
		d.Present(ctx, call, &copied)
		shown = copied
	}
	text, err := json.Marshal(shown)
	if err != nil {
		return nil, err
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, err
	}
	properties, isObject := body["properties"].(map[string]any)
	if !isObject {
		properties = map[string]any{}
	}
	if !d.Scopes {
		properties["provisioningState"] = r.State
		if r.Failure != nil {
			properties["provisioningError"] = r.Failure
		}
	}
	body["properties"] = properties
	if r.ETag != "" {
		body["etag"] = `"` + r.ETag + `"`
	}
	return body, nil
}

func (d *definition[P]) present(ctx context.Context, call *Call, doc store.Document) (map[string]any, error) {
	r, err := d.decode(doc)
	if err != nil {
		return nil, err
	}
	return d.show(ctx, call, r)
}

func (d *definition[P]) readPermission(doc store.Document) string {
	r, err := d.decode(doc)
	if err != nil {
		r = &stored[P]{}
	}
	return d.permission(Read, &r.Resource, &r.Resource)
}

func (d *definition[P]) act(ctx context.Context, call *Call) (*Response, error) {
	for _, action := range d.Actions {
		method := action.Method
		if method == "" {
			method = "POST"
		}
		if !strings.EqualFold(action.Name, call.Target.Word) || method != call.Method {
			continue
		}
		return d.runAction(ctx, call, action)
	}
	return nil, resource.NotFoundf("InvalidAction", "%s has no action %q for the method %s", d.Type, call.Target.Word, call.Method)
}

func (d *definition[P]) runAction(ctx context.Context, call *Call, action Action[P]) (*Response, error) {
	id := call.Target.ID
	if err := call.Manager.authorize(ctx, call, d.actionPermission(action), id); err != nil {
		return nil, err
	}
	r, _, found, err := d.load(ctx, call, id)
	if err != nil {
		return nil, err
	}
	if !found && !action.Absent {
		return nil, d.notFound(id)
	}
	if !found {
		r = &stored[P]{Resource: Resource[P]{ID: id, Name: id.Name(), Type: d.Type}}
	}
	body, err := action.Run(ctx, call, &r.Resource)
	if err != nil {
		return nil, err
	}
	if response, ok := body.(*Response); ok {
		return response, nil
	}
	status := action.Status
	if status == 0 {
		status = 200
	}
	return &Response{Status: status, Body: body}, nil
}
