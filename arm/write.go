package arm

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/alvara-ml/alvara/resource"
)

func (d *definition[P]) put(ctx context.Context, call *Call) (*Response, error) {
	return again(func() (*Response, error) {
		return d.write(ctx, call, func(*stored[P]) (map[string]any, error) { return decodeObject(call.Body) })
	})
}

func (d *definition[P]) patch(ctx context.Context, call *Call) (*Response, error) {
	return again(func() (*Response, error) {
		return d.write(ctx, call, func(prev *stored[P]) (map[string]any, error) { return d.patched(call, prev) })
	})
}

// patched is the present resource with the request's merge patch applied.
func (d *definition[P]) patched(call *Call, prev *stored[P]) (map[string]any, error) {
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
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var now map[string]any
	if err := decoder.Decode(&now); err != nil {
		return nil, err
	}
	dropIdentities(now, patch)
	return mergePatch(now, patch), nil
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
	// The permission depends on the kind alone, so that a caller without it learns nothing about the body.
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
	if read := d.permission(Write, next, old); read != permission { // the body was read another way than its sketch
		if err := call.Manager.authorize(ctx, call, read, id); err != nil {
			return nil, err
		}
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
	linked, err := call.Manager.identityRequirements(ctx, next.Identity, identityOf(old))
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
	if err := call.Manager.authorizeLinked(ctx, call, permission, id, linked); err != nil {
		return nil, err
	}
	if d.Validate != nil {
		if err := d.Validate(ctx, change); err != nil {
			return nil, err
		}
	}
	return d.commit(ctx, call, change, prev, doc)
}

func identityOf[P any](r *Resource[P]) *Identity {
	if r == nil {
		return nil
	}
	return r.Identity
}
