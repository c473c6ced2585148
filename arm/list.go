package arm

import (
	"context"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// The sizes of a page of a list.
const (
	defaultPage = 200
	largestPage = 1000
)

func (d *definition[P]) list(ctx context.Context, call *Call) (*Response, error) {
	if d.List != nil {
		return d.listElsewhere(ctx, call)
	}
	scope := call.Target.ID
	page, err := PageOf(call)
	if err != nil {
		return nil, err
	}
	order, err := orderOf(call)
	if err != nil {
		return nil, err
	}
	wanted := func(*Resource[P]) bool { return true }
	if d.Listed != nil {
		if wanted, err = d.Listed(call); err != nil {
			return nil, err
		}
	}
	filter := newVisibility(call, scope)
	visible := func(r *stored[P]) bool {
		return wanted(&r.Resource) && filter.visible(d.permission(Read, &r.Resource, &r.Resource), r.ID)
	}
	var found []*stored[P]
	last := ""
	if order == nil {
		found, last, err = d.pageByKey(ctx, call, page, visible)
	} else {
		found, last, err = d.pageByTime(ctx, call, page, order, visible)
	}
	if err != nil {
		return nil, err
	}
	values := make([]any, 0, len(found))
	for _, r := range found {
		body, err := d.show(ctx, call, r)
		if err != nil {
			return nil, err
		}
		values = append(values, body)
	}
	filter.fallback = d.listPermission(call, scope)
	if err := filter.record(ctx); err != nil {
		return nil, err
	}
	if len(values) == 0 && page.After == "" {
		there := scope
		if d.EmptyAbsent != nil && d.EmptyAbsent(call) {
			there = scope.Parent()
		}
		if err := call.Manager.checkScope(ctx, there); err != nil {
			return nil, err
		}
	}
	return &Response{Status: 200, Body: page.Body(call, values, last)}, nil
}

// scan visits the items of a list in the order of their keys, from after one on, until visit wants no more. It reads batch of them at a
// time.
func (d *definition[P]) scan(ctx context.Context, call *Call, after string, batch int, visit func(key string, r *stored[P]) bool) error {
	scope := call.Target.ID
	prefix := scope.Key() + "/"
	if scope.IsRoot() {
		prefix = "/"
	}
	below := depth(scope, d.Type)
	for {
		docs, err := call.Manager.Store.List(ctx, store.Query{Kind: d.Type.Key(), Prefix: prefix, After: after, Limit: batch})
		if err != nil {
			return err
		}
		for _, doc := range docs {
			after = doc.Key
			if below > 0 && strings.Count(doc.Key[len(prefix)-1:], "/") != below {
				continue
			}
			r, err := d.decode(doc)
			if err != nil {
				return err
			}
			if !visit(doc.Key, r) {
				return nil
			}
		}
		if len(docs) < batch {
			return nil
		}
	}
}

// pageByKey gives a page of the items that are visible, and the last one's key when more follow.
func (d *definition[P]) pageByKey(ctx context.Context, call *Call, page Page, visible func(*stored[P]) bool) (found []*stored[P], last string, err error) {
	more := false
	err = d.scan(ctx, call, page.After, page.Size+1, func(key string, r *stored[P]) bool {
		if !visible(r) {
			return true
		}
		if more = len(found) == page.Size; more {
			return false
		}
		found, last = append(found, r), key
		return true
	})
	if !more {
		last = ""
	}
	return found, last, err
}

// listPermission is what a list asks for when it has nothing to show.
func (d *definition[P]) listPermission(call *Call, scope resource.ID) string {
	if kind := call.query("kind"); kind != "" {
		return d.permission(Read, &Resource[P]{Kind: kind}, nil)
	}
	return d.absent(call, Read, scope)
}

// checkScope tells an empty scope from one that is not there.
func (m *Manager) checkScope(ctx context.Context, scope resource.ID) error {
	exists, err := m.Exists(ctx, scope)
	switch {
	case err != nil || exists:
		return err
	case scope.Type().Is(resource.TypeSubscription):
		return resource.NotFoundf("SubscriptionNotFound", "The subscription '%s' could not be found.", scope.Name())
	case scope.Type().Is(resource.TypeResourceGroup):
		return resource.NotFoundf("ResourceGroupNotFound", "Resource group '%s' could not be found.", scope.Name())
	}
	return resource.NotFoundf("ParentResourceNotFound", "The resource '%s' could not be found.", scope)
}

func (d *definition[P]) listElsewhere(ctx context.Context, call *Call) (*Response, error) {
	filter := newVisibility(call, call.Target.ID)
	filter.fallback = d.absent(call, Read, call.Target.ID)
	items, err := d.List(ctx, call, call.Target.ID)
	if err != nil {
		if refused := filter.record(ctx); refused != nil { // who may not read learns nothing else
			return nil, refused
		}
		return nil, err
	}
	values := make([]any, 0, len(items))
	for _, item := range items {
		if !filter.visible(d.permission(Read, item, item), item.ID) {
			continue
		}
		body, err := d.show(ctx, call, &stored[P]{Resource: *item, State: Succeeded})
		if err != nil {
			return nil, err
		}
		values = append(values, body)
	}
	if err := filter.record(ctx); err != nil {
		return nil, err
	}
	return &Response{Status: 200, Body: map[string]any{"value": values}}, nil
}

// depth is how many segments the items of a collection have below its scope: children lie directly below their parent,
// whereas a list at a group or subscription reaches all resources of the type in it (0).
func depth(scope resource.ID, t resource.Type) int {
	if scope.Type() != "" && strings.HasPrefix(t.Key(), scope.Type().Key()+"/") {
		return 2 * (strings.Count(string(t), "/") - strings.Count(string(scope.Type()), "/"))
	}
	return 0
}

// visibility chooses what a caller may see in a list, and records one decision for the list as a whole.
type visibility struct {
	call     *Call
	scope    resource.ID
	wide     map[string]bool // the actions that were asked on the scope itself
	seen     *Requirement    // what let the first item through
	fallback string          // the action to ask when nothing was let through
}

func newVisibility(call *Call, scope resource.ID) *visibility {
	return &visibility{call: call, scope: scope, wide: map[string]bool{}}
}

func (v *visibility) visible(action string, id resource.ID) bool {
	m := v.call.Manager
	wide, asked := v.wide[action]
	if !asked {
		wide = m.Guard.Allowed(m.ask(v.call, Requirement{Action: action, Scope: v.scope}))
		v.wide[action] = wide
	}
	requirement := Requirement{Action: action, Scope: v.scope}
	if !wide {
		requirement.Scope = id
		if !m.Guard.Allowed(m.ask(v.call, requirement)) {
			return false
		}
	}
	if v.seen == nil {
		v.seen = &requirement
	}
	return true
}

// record asks the guard for the permission that the list as a whole rests on: a caller who may see nothing and may not
// read the scope either is refused.
func (v *visibility) record(ctx context.Context) error {
	requirement := Requirement{Action: v.fallback, Scope: v.scope}
	if v.seen != nil {
		requirement = *v.seen
	}
	return v.call.Manager.Guard.Check(ctx, v.call.Manager.ask(v.call, requirement))
}

// Page is a part of a list: the keys after After, at most Size of them.
type Page struct {
	After string
	Size  int
}

// sizeParameters are the names under which clients say how large a page they want.
var sizeParameters = []string{"$top", "pageSize", "$maxpagesize", "count"}

// PageOf reads the size of a page and $skipToken.
func PageOf(call *Call) (Page, error) {
	page := Page{Size: defaultPage}
	for _, name := range sizeParameters {
		size := call.query(name)
		if size == "" {
			continue
		}
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 {
			return page, resource.Invalidf("InvalidParameter", "%s is %q; a number from 1 was expected", name, size).At(name)
		}
		page.Size = min(n, largestPage)
	}
	if token := call.query("$skipToken"); token != "" {
		after, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return page, resource.Invalidf("InvalidSkipToken", "$skipToken is not one that this service gave; start the list anew").At("$skipToken")
		}
		page.After = string(after)
	}
	return page, nil
}

// Body is a page as clients expect it; after is the last key shown when more follow, else "".
func (p Page) Body(call *Call, values []any, after string) map[string]any {
	body := map[string]any{"value": values}
	if after == "" {
		return body
	}
	query := url.Values{}
	for name, given := range call.Query {
		if !strings.EqualFold(name, "$skipToken") {
			query[name] = given
		}
	}
	query.Set("$skipToken", base64.RawURLEncoding.EncodeToString([]byte(after)))
	body["nextLink"] = call.BaseURL + call.path() + "?" + query.Encode()
	return body
}

// QueryValue gives a query parameter by its name in any case.
func (call *Call) QueryValue(name string) string { return call.query(name) }

func (call *Call) query(name string) string {
	for given, values := range call.Query {
		if strings.EqualFold(given, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// path is the path of the present request in canonical form.
func (call *Call) path() string {
	target := call.Target
	if !target.Collection {
		return target.ID.String()
	}
	switch {
	case target.Type.Is(resource.TypeSubscription):
		return "/subscriptions"
	case target.Type.Is(resource.TypeResourceGroup):
		return target.ID.String() + "/resourceGroups"
	case depth(target.ID, target.Type) > 0:
		return target.ID.String() + string(target.Type)[len(target.ID.Type()):]
	case target.ID.IsRoot():
		return "/providers/" + string(target.Type)
	}
	return target.ID.String() + "/providers/" + string(target.Type)
}
