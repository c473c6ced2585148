package graph

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

const (
	maxIDs         = 1000 // of one getByIds
	maxCheckGroups = 20   // of one checkMemberGroups
)

// member is an object of any type, where several types stand in one list.
type member struct {
	id, name string
	kind     string // user, group, servicePrincipal or application
	view     view
}

var members = &entity[member]{
	properties: map[string]kind{"id": text, "displayName": text},
	value: func(_ *identity.Directory, m *member, property string) any {
		if property == "id" {
			return m.id
		}
		return m.name
	},
	id:   func(m *member) string { return m.id },
	view: func(_ *identity.Directory, m *member) view { return m.view },
}

// object finds an object of any type by object id.
func (s *Server) object(id string) (member, bool) {
	if u, ok := s.Directory.User(id); ok && strings.EqualFold(u.ID, id) {
		return member{u.ID, u.DisplayName, "user", viewUser(s.Directory, &u)}, true
	}
	if g, ok := s.Directory.Group(id); ok {
		return member{g.ID, g.DisplayName, "group", viewGroup(s.Directory, &g)}, true
	}
	if p, ok := s.Directory.ServicePrincipal(id); ok && strings.EqualFold(p.ID, id) {
		return member{p.ID, p.DisplayName, "servicePrincipal", viewService(s.Directory, &p)}, true
	}
	if a, ok := s.Directory.Application(id); ok && strings.EqualFold(a.ID, id) {
		return member{a.ID, a.DisplayName, "application", viewApplication(s.Directory, &a)}, true
	}
	return member{}, false
}

func getObject(s *Server, _ context.Context, q *request) (answer, error) {
	m, ok := s.object(q.at[0].value)
	if !ok || q.at[0].key != "" {
		return answer{}, absent(q.at[0].value)
	}
	return q.single(m.view, "directoryObjects", true)
}

// getByIDs answers with those of the objects that exist and are of the types asked for.
func getByIDs(s *Server, _ context.Context, q *request) (answer, error) {
	f, err := readBody(q.http)
	if err != nil {
		return answer{}, err
	}
	ids, err := identifiers(f, "ids", maxIDs)
	if err != nil {
		return answer{}, err
	}
	types, _, err := f.texts("types")
	if err != nil {
		return answer{}, err
	}
	if err := f.done(); err != nil {
		return answer{}, err
	}
	var found []member
	seen := map[string]bool{}
	for _, id := range ids {
		m, ok := s.object(id)
		if !ok || seen[m.id] {
			continue
		}
		seen[m.id] = true
		if len(types) == 0 || slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, m.kind) || strings.EqualFold(t, "directoryObject") }) {
			found = append(found, m)
		}
	}
	out := collection{Context: q.base() + "/$metadata#directoryObjects", Value: []any{}}
	for _, m := range found {
		out.Value = append(out.Value, m.view)
	}
	return answer{body: out}, nil
}

// identifiers reads a list of object ids.
func identifiers(f *fields, name string, most int) ([]string, error) {
	ids, given, err := f.texts(name)
	if err != nil {
		return nil, err
	}
	if !given {
		return nil, resource.Invalidf(badRequest, "A value is required for property '%s' of the request body.", name).At(name)
	}
	if len(ids) > most {
		return nil, resource.Invalidf(badRequest, "%s has %d entries; at most %d are allowed in one request.", name, len(ids), most).At(name)
	}
	for _, id := range ids {
		if uuid.Validate(id) != nil || len(id) != 36 {
			return nil, resource.Invalidf(badRequest, "Invalid GUID:%s", id).At(name)
		}
	}
	return ids, nil
}

func listMembers(s *Server, _ context.Context, q *request) (answer, error) {
	group, err := s.group(q)
	if err != nil {
		return answer{}, err
	}
	return s.listMixed(q, group.Members)
}

func listTransitiveMembers(s *Server, _ context.Context, q *request) (answer, error) {
	group, err := s.group(q)
	if err != nil {
		return answer{}, err
	}
	seen := map[string]bool{group.ID: true}
	var ids []string
	for pending := group.Members; len(pending) > 0; {
		id := pending[0]
		pending = pending[1:]
		if seen[id] {
			continue
		}
		seen[id] = true
		ids = append(ids, id)
		if nested, ok := s.Directory.Group(id); ok {
			pending = append(pending, nested.Members...)
		}
	}
	slices.Sort(ids)
	return s.listMixed(q, ids)
}

// listMixed answers with the objects of these ids, in their order, as far as they still exist.
func (s *Server) listMixed(q *request, ids []string) (answer, error) {
	return listed(s, q, members, "directoryObjects", true, func() []member {
		out := make([]member, 0, len(ids))
		for _, id := range ids {
			if m, ok := s.object(id); ok {
				out = append(out, m)
			}
		}
		return out
	}, nil)
}

// owned answers with nothing: objects of this directory have no owners, and nobody has rights by owning one.
func owned(s *Server, _ context.Context, q *request) (answer, error) { return s.listMixed(q, nil) }

// holder finds the principal whose memberships are asked for: the caller, or the one that the path names.
func (s *Server) holder(q *request) (string, error) {
	collection := q.operation.segments[0]
	switch collection {
	case "me":
		return q.who.ID, nil
	case "users":
		user, err := s.user(q)
		return user.ID, err
	case "groups":
		group, err := s.group(q)
		return group.ID, err
	case "servicePrincipals":
		p, err := s.service(q)
		return p.ID, err
	}
	p, ok := s.Directory.Lookup(q.at[0].value)
	if !ok || q.at[0].key != "" {
		return "", absent(q.at[0].value)
	}
	return p.ID, nil
}

func listTransitiveMemberOf(s *Server, _ context.Context, q *request) (answer, error) {
	id, err := s.holder(q)
	if err != nil {
		return answer{}, err
	}
	return s.listMixed(q, s.Directory.Groups(id))
}

func listMemberOf(s *Server, _ context.Context, q *request) (answer, error) {
	id, err := s.holder(q)
	if err != nil {
		return answer{}, err
	}
	var direct []string
	for _, group := range s.Directory.Groups(id) {
		if g, ok := s.Directory.Group(group); ok && slices.Contains(g.Members, id) {
			direct = append(direct, group)
		}
	}
	return s.listMixed(q, direct)
}

type textCollection struct {
	Context string   `json:"@odata.context"`
	Value   []string `json:"value"`
}

func (q *request) textList(values []string) answer {
	return answer{body: textCollection{q.base() + "/$metadata#Collection(Edm.String)", append([]string{}, values...)}}
}

// getMemberGroups answers with the ids of all groups that hold a principal. All groups are security groups, so
// securityEnabledOnly makes no difference.
func getMemberGroups(s *Server, _ context.Context, q *request) (answer, error) {
	id, err := s.holder(q)
	if err != nil {
		return answer{}, err
	}
	f, err := readBody(q.http)
	if err != nil {
		return answer{}, err
	}
	if _, _, err := f.flag("securityEnabledOnly"); err != nil {
		return answer{}, err
	}
	if err := f.done(); err != nil {
		return answer{}, err
	}
	return q.textList(s.Directory.Groups(id)), nil
}

func checkMemberGroups(s *Server, _ context.Context, q *request) (answer, error) {
	return s.checkMembership(q, "groupIds")
}

func checkMemberObjects(s *Server, _ context.Context, q *request) (answer, error) {
	return s.checkMembership(q, "ids")
}

// checkMembership answers with those of the given groups that hold a principal.
func (s *Server) checkMembership(q *request, field string) (answer, error) {
	id, err := s.holder(q)
	if err != nil {
		return answer{}, err
	}
	f, err := readBody(q.http)
	if err != nil {
		return answer{}, err
	}
	asked, err := identifiers(f, field, maxCheckGroups)
	if err != nil {
		return answer{}, err
	}
	if err := f.done(); err != nil {
		return answer{}, err
	}
	var in []string
	for _, group := range s.Directory.Groups(id) {
		if slices.ContainsFunc(asked, func(a string) bool { return strings.EqualFold(a, group) }) {
			in = append(in, group)
		}
	}
	return q.textList(in), nil
}
