package graph

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// operation is one thing that the plane can be asked: a method on a path, in which {} stands for any one segment. What is
// open only needs a valid token; everything else needs the action on the root scope.
type operation struct {
	method, path string
	action       string
	open         bool
	// becoming marks what lets its caller act as an existing principal, or with its roles: a new password, a secret, a
	// membership. Whoever may not assign roles must not gain them this way, so it needs that right as well.
	becoming bool
	run      func(s *Server, ctx context.Context, q *request) (answer, error)

	segments []string
}

// The operations that the guard decides, and those that are recorded only.
const (
	writeUsers         = "Microsoft.Directory/users/write"
	deleteUsers        = "Microsoft.Directory/users/delete"
	writeGroups        = "Microsoft.Directory/groups/write"
	deleteGroups       = "Microsoft.Directory/groups/delete"
	writeApplications  = "Microsoft.Directory/applications/write"
	deleteApplications = "Microsoft.Directory/applications/delete"
	writeServices      = "Microsoft.Directory/servicePrincipals/write"
	deleteServices     = "Microsoft.Directory/servicePrincipals/delete"

	readUsers        = "Microsoft.Directory/users/read"
	readGroups       = "Microsoft.Directory/groups/read"
	readApplications = "Microsoft.Directory/applications/read"
	readServices     = "Microsoft.Directory/servicePrincipals/read"
	readObjects      = "Microsoft.Directory/directoryObjects/read"
	readOrganization = "Microsoft.Directory/organization/read"
)

// Actions gives the operations that the guard is asked about, for the catalogue of operations.
func Actions() []string {
	var names []string
	for _, o := range operations {
		if !o.open && !slices.Contains(names, o.action) {
			names = append(names, o.action)
		}
	}
	slices.Sort(names)
	return names
}

func reads(method, path, action string, run func(*Server, context.Context, *request) (answer, error)) *operation {
	return &operation{method: method, path: path, action: action, open: true, run: run}
}

func changes(method, path, action string, run func(*Server, context.Context, *request) (answer, error)) *operation {
	return &operation{method: method, path: path, action: action, run: run}
}

func becomes(method, path, action string, run func(*Server, context.Context, *request) (answer, error)) *operation {
	return &operation{method: method, path: path, action: action, becoming: true, run: run}
}

var operations = table()

func table() []*operation {
	all := []*operation{
		reads("GET", "/me", readUsers, getMe),
		reads("GET", "/me/ownedObjects", readObjects, owned),

		reads("GET", "/users", readUsers, listUsers),
		changes("POST", "/users", writeUsers, createUser),
		reads("GET", "/users/{}", readUsers, getUser),
		becomes("PATCH", "/users/{}", writeUsers, updateUser),
		changes("DELETE", "/users/{}", deleteUsers, deleteUser),

		reads("GET", "/groups", readGroups, listGroups),
		changes("POST", "/groups", writeGroups, createGroup),
		reads("GET", "/groups/{}", readGroups, getGroup),
		changes("DELETE", "/groups/{}", deleteGroups, deleteGroup),
		reads("GET", "/groups/{}/members", readGroups, listMembers),
		reads("GET", "/groups/{}/transitiveMembers", readGroups, listTransitiveMembers),
		becomes("POST", "/groups/{}/members/$ref", writeGroups, addMember),
		changes("DELETE", "/groups/{}/members/{}/$ref", writeGroups, removeMember),
		reads("GET", "/groups/{}/owners", readGroups, groupOwners),

		reads("GET", "/applications", readApplications, listApplications),
		changes("POST", "/applications", writeApplications, createApplication),
		reads("GET", "/applications/{}", readApplications, getApplication),
		becomes("PATCH", "/applications/{}", writeApplications, updateApplication),
		changes("DELETE", "/applications/{}", deleteApplications, deleteApplication),
		becomes("POST", "/applications/{}/addPassword", writeApplications, addApplicationPassword),
		changes("POST", "/applications/{}/removePassword", writeApplications, removeApplicationPassword),
		reads("GET", "/applications/{}/owners", readApplications, applicationOwners),
		reads("GET", "/applications/{}/federatedIdentityCredentials", readApplications, listFederated),
		becomes("POST", "/applications/{}/federatedIdentityCredentials", writeApplications, createFederated),
		reads("GET", "/applications/{}/federatedIdentityCredentials/{}", readApplications, getFederated),
		becomes("PATCH", "/applications/{}/federatedIdentityCredentials/{}", writeApplications, updateFederated),
		changes("DELETE", "/applications/{}/federatedIdentityCredentials/{}", writeApplications, deleteFederated),

		reads("GET", "/servicePrincipals", readServices, listServices),
		changes("POST", "/servicePrincipals", writeServices, createService),
		reads("GET", "/servicePrincipals/{}", readServices, getService),
		becomes("PATCH", "/servicePrincipals/{}", writeServices, updateService),
		changes("DELETE", "/servicePrincipals/{}", deleteServices, deleteService),
		becomes("POST", "/servicePrincipals/{}/addPassword", writeServices, addServicePassword),
		changes("POST", "/servicePrincipals/{}/removePassword", writeServices, removeServicePassword),
		reads("GET", "/servicePrincipals/{}/owners", readServices, serviceOwners),

		reads("GET", "/directoryObjects/{}", readObjects, getObject),
		reads("POST", "/directoryObjects/getByIds", readObjects, getByIDs),
		reads("GET", "/organization", readOrganization, getOrganization),
		reads("GET", "/domains", readOrganization, listDomains),
	}
	for _, holder := range []string{"/me", "/users/{}", "/groups/{}", "/servicePrincipals/{}", "/directoryObjects/{}"} {
		all = append(all,
			reads("GET", holder+"/memberOf", readGroups, listMemberOf),
			reads("GET", holder+"/transitiveMemberOf", readGroups, listTransitiveMemberOf),
			reads("POST", holder+"/checkMemberGroups", readGroups, checkMemberGroups),
			reads("POST", holder+"/checkMemberObjects", readGroups, checkMemberObjects),
			reads("POST", holder+"/getMemberGroups", readGroups, getMemberGroups),
			reads("POST", holder+"/getMemberObjects", readGroups, getMemberGroups),
		)
	}
	for _, o := range all {
		o.segments = strings.Split(o.path[1:], "/")
	}
	return all
}

// parse finds the operation that the path and method name.
func (q *request) parse() error {
	var err error
	if q.query, err = url.ParseQuery(q.http.URL.RawQuery); err != nil {
		return resource.Invalidf(badPath, "the query of the address cannot be read: %v", err)
	}
	path, err := splitPath(q.http.URL.EscapedPath())
	if err != nil {
		return err
	}
	if len(path) < 2 || (path[0].value != "v1.0" && path[0].value != "beta") {
		return resource.Invalidf(badPath, "Invalid version; paths begin with /v1.0/ or /beta/ and name a collection, such as /v1.0/users.")
	}
	q.version = path[0].value
	otherMethods := false
	for _, o := range operations {
		at, ok := match(o.segments, path[1:])
		if !ok {
			continue
		}
		if o.method == q.http.Method {
			q.operation, q.at = o, at
			return nil
		}
		otherMethods = true
	}
	if otherMethods {
		return resource.Errorf(resource.MethodNotAllowed, badRequest, "Specified HTTP method %s is not allowed for the request target.", q.http.Method)
	}
	return resource.Invalidf(badPath, "Resource not found for the segment '%s': this directory does not offer %s.", path[len(path)-1].value, q.http.URL.Path)
}

// match compares a path with a pattern; fixed segments are equal in any case.
func match(pattern []string, path []variable) (at []variable, ok bool) {
	if len(pattern) != len(path) {
		return nil, false
	}
	for i, segment := range pattern {
		switch {
		case segment == "{}":
			if path[i].value == "" {
				return nil, false
			}
			at = append(at, path[i])
		case path[i].key != "" || !strings.EqualFold(segment, path[i].value):
			return nil, false
		}
	}
	return at, true
}

// splitPath takes a path apart; users('x') is the same as users/x, and applications(appId='x') names the key as well.
func splitPath(escaped string) ([]variable, error) {
	var out []variable
	for _, part := range strings.Split(strings.Trim(escaped, "/"), "/") {
		segment, err := url.PathUnescape(part)
		if err != nil {
			return nil, resource.Invalidf(badPath, "the address cannot be read: %v", err)
		}
		name, inner, keyed := strings.Cut(segment, "(")
		if !keyed || !strings.HasSuffix(inner, ")") || name == "" {
			out = append(out, variable{value: segment})
			continue
		}
		key, literal, named := strings.Cut(strings.TrimSuffix(inner, ")"), "=")
		if !named || strings.HasPrefix(key, "'") {
			key, literal = "", strings.TrimSuffix(inner, ")")
		}
		value, ok := unquote(literal)
		if !ok {
			return nil, resource.Invalidf(badPath, "the key in '%s' cannot be read; the form is %s('…') or %s(appId='…').", segment, name, name)
		}
		if strings.EqualFold(key, "id") {
			key = ""
		}
		out = append(out, variable{value: name}, variable{value: value, key: key})
	}
	return out, nil
}

// unquote reads an OData string, in which a quote is written twice.
func unquote(literal string) (string, bool) {
	if len(literal) < 2 || literal[0] != '\'' || literal[len(literal)-1] != '\'' {
		return "", false
	}
	inner := literal[1 : len(literal)-1]
	if strings.Contains(strings.ReplaceAll(inner, "''", ""), "'") {
		return "", false
	}
	return strings.ReplaceAll(inner, "''", "'"), true
}
