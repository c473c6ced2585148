package cli

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/profile"
	"github.com/alvara-ml/alvara/cli/wire"
)

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (c *Call) graphRequest(method, path string, query url.Values, body any) (wire.Request, error) {
	base, err := c.graphBase()
	return wire.Request{Method: method, URL: base + path, Query: query, Body: body, Resource: profile.Graph}, err
}

func (c *Call) graphBase() (string, error) {
	base, err := c.plane("directory (Graph)", "ALVARA_GRAPH_ENDPOINT", func(e profile.Endpoints) string { return e.Graph })
	return strings.TrimSuffix(base, "/v1.0") + "/v1.0", err
}

// graph sends one request to the directory; path is below /v1.0.
func (c *Call) graph(method, path string, body any) (*document.Object, error) {
	request, err := c.graphRequest(method, path, nil, body)
	if err != nil {
		return nil, err
	}
	response, err := c.client.Do(c.ctx, request)
	if err != nil {
		return nil, err
	}
	object, err := response.Object()
	object.Delete("@odata.context")
	return object, err
}

// graphList reads every page; filter is an OData expression or "".
func (c *Call) graphList(path, filter string) ([]*document.Object, error) {
	query := url.Values{}
	if filter != "" {
		query.Set("$filter", filter)
	}
	request, err := c.graphRequest(http.MethodGet, path, query, nil)
	if err != nil {
		return nil, err
	}
	return c.client.List(c.ctx, request)
}

// user finds a user by object id or user principal name.
func (c *Call) user(idOrName string) (*document.Object, error) {
	return c.graph(http.MethodGet, "/users/"+segment(idOrName), nil)
}

// directoryGroup finds a group by object id or display name.
func (c *Call) directoryGroup(idOrName string) (*document.Object, error) {
	if guid.MatchString(idOrName) {
		return c.graph(http.MethodGet, "/groups/"+segment(idOrName), nil)
	}
	found, err := c.graphList("/groups", "displayName eq '"+odata(idOrName)+"'")
	return one(found, err, "group", idOrName)
}

// servicePrincipal finds a service principal by object id, client id, identifier URI or display name.
func (c *Call) servicePrincipal(id string) (*document.Object, error) {
	found, err := c.graphList("/servicePrincipals", "servicePrincipalNames/any(c:c eq '"+odata(id)+"')")
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && guid.MatchString(id) {
		return c.graph(http.MethodGet, "/servicePrincipals/"+segment(id), nil)
	}
	if len(found) == 0 {
		found, err = c.graphList("/servicePrincipals", "displayName eq '"+odata(id)+"'")
	}
	return one(found, err, "service principal", id)
}

// application finds an application by object id, client id, identifier URI or display name.
func (c *Call) application(id string) (*document.Object, error) {
	if guid.MatchString(id) {
		found, err := c.graphList("/applications", "appId eq '"+odata(id)+"'")
		if err == nil && len(found) == 0 {
			return c.graph(http.MethodGet, "/applications/"+segment(id), nil)
		}
		return one(found, err, "application", id)
	}
	found, err := c.graphList("/applications", "identifierUris/any(s:s eq '"+odata(id)+"')")
	if err == nil && len(found) == 0 {
		found, err = c.graphList("/applications", "displayName eq '"+odata(id)+"'")
	}
	return one(found, err, "application", id)
}

func one(found []*document.Object, err error, kind, name string) (*document.Object, error) {
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, &notFound{"there is no " + kind + " \"" + name + "\" in the directory"}
	case len(found) > 1:
		ids := make([]string, len(found))
		for i, object := range found {
			ids[i] = object.Text("id")
		}
		return nil, usagef("the name %q fits %d objects of kind %s; name one by its id: %s", name, len(found), kind, strings.Join(ids, ", "))
	}
	return found[0], nil
}

// principal is somebody who can hold a role.
type principal struct {
	ID   string
	Type string // User, Group, ServicePrincipal, or "" when the directory could not be asked
}

// assignee finds a principal by object id, client id, user principal name, or name of a service principal or group.
func (c *Call) assignee(text string) (principal, error) {
	if strings.Contains(text, "@") {
		user, err := c.user(text)
		if missing(err) {
			return principal{}, &notFound{"there is no user " + quoteSh(text) + " in the directory"}
		}
		return principal{user.Text("id"), "User"}, err
	}
	if guid.MatchString(text) {
		return c.assigneeByID(text)
	}
	found, err := c.graphList("/servicePrincipals", "servicePrincipalNames/any(c:c eq '"+odata(text)+"')")
	if err == nil && len(found) == 0 {
		found, err = c.graphList("/servicePrincipals", "displayName eq '"+odata(text)+"'")
	}
	if err != nil {
		return principal{}, err
	}
	if len(found) > 0 {
		object, err := one(found, nil, "service principal", text)
		return principal{object.Text("id"), "ServicePrincipal"}, err
	}
	group, err := c.directoryGroup(text)
	if err != nil {
		var absent *notFound
		if asNotFound(err, &absent) {
			return principal{}, &notFound{"no user, service principal, managed identity or group in the directory is " + quoteSh(text) +
				"; give an object id, a client id, a user principal name or a display name"}
		}
		return principal{}, err
	}
	return principal{group.Text("id"), "Group"}, nil
}

func (c *Call) assigneeByID(id string) (principal, error) {
	found, err := c.graphList("/servicePrincipals", "servicePrincipalNames/any(c:c eq '"+odata(id)+"')")
	if err == nil && len(found) == 1 {
		return principal{found[0].Text("id"), "ServicePrincipal"}, nil
	}
	objects, err := c.objectsByID([]string{id})
	if err != nil || len(objects) == 0 {
		// Whoever may assign roles need not be able to read the directory; the server checks the id.
		return principal{ID: id}, nil
	}
	return principal{id, principalType(objects[0])}, nil
}

func (c *Call) objectsByID(ids []string) ([]*document.Object, error) {
	var all []*document.Object
	for len(ids) > 0 {
		batch := ids[:min(len(ids), 1000)]
		ids = ids[len(batch):]
		answer, err := c.graph(http.MethodPost, "/directoryObjects/getByIds", document.New(
			"ids", document.Strings(batch), "types", document.Strings([]string{"user", "group", "servicePrincipal", "directoryObjectPartnerReference"})))
		if err != nil {
			return nil, err
		}
		all = append(all, answer.Objects("value")...)
	}
	return all, nil
}

func principalType(object *document.Object) string {
	switch strings.ToLower(strings.TrimPrefix(object.Text("@odata.type"), "#microsoft.graph.")) {
	case "user":
		return "User"
	case "group":
		return "Group"
	case "serviceprincipal":
		return "ServicePrincipal"
	}
	return ""
}

// nameOf is how az shows a principal.
func nameOf(object *document.Object) string {
	for _, key := range []string{"userPrincipalName", "appId", "displayName"} {
		if name := object.Text(key); name != "" && (key != "appId" || principalType(object) != "Group") {
			return name
		}
	}
	return ""
}
