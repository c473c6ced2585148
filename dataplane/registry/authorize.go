package registry

import (
	"context"

	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/resource"
)

// plane is the name of this plane in the audit log.
const plane = "registry"

// authorize puts every need of the operation to the token and then to the Guard. What the token lacks is asked for by a
// challenge (401), what the roles lack is refused (403): another token would not help.
func (s *Server) authorize(ctx context.Context, q *request) error {
	if q.op.list {
		return s.authorizeList(ctx, q)
	}
	for _, n := range q.op.needs {
		repository := q.at.repository
		if n.onSource {
			repository = q.source
		}
		carried := q.who.carries(n.permission, "repository", repository)
		if n.onSource {
			q.mountable = carried && s.decide(ctx, q, n.permission, repository) == nil
			continue
		}
		if !carried {
			return q.insufficient("repository:" + repository + ":" + n.scope)
		}
		if err := s.decide(ctx, q, n.permission, repository); err != nil {
			return err
		}
	}
	return nil
}

func (q *request) insufficient(scope string) error {
	q.missing = scope
	return unauthorized("the access token does not carry %s; ask for a token with that scope", scope)
}

// decide asks whether the caller may do it now, and has the answer recorded.
func (s *Server) decide(ctx context.Context, q *request, p *permission, repository string) error {
	asked := q.ask(p, repository)
	if q.who.admin {
		return s.record(ctx, q, asked[0], "admin user of "+q.registry.Name)
	}
	return s.Guard.CheckAny(ctx, asked[0], asked[1:]...)
}

// record records what no role decided on: what the admin user does, and a list that shows nothing.
func (s *Server) record(ctx context.Context, q *request, asked guard.Request, name string) error {
	err := s.Audit.Record(ctx, audit.Record{
		Time: s.Clock(), RequestID: q.id, Plane: plane, Principal: asked.Who.ID, Name: name, Action: asked.Action,
		Scope: asked.Scopes[0].String(), Target: asked.Target, Allowed: true, Client: asked.Client,
	})
	if err != nil {
		return audit.Unavailable(err)
	}
	return nil
}

// ask gives the questions of a permission, of which one must be answered with yes.
func (q *request) ask(p *permission, repository string) []guard.Request {
	asked := make([]guard.Request, len(p.any))
	for i, right := range p.any {
		asked[i] = guard.Request{
			Who: q.who.principal, Action: right.action, Data: right.data, Plane: plane, RequestID: q.id, Client: q.client(),
			Scopes: []resource.ID{RepositoryScope(q.registry.ID, repository)}, Target: q.target(repository),
			Attributes: condition.Attributes{{Attribute: condition.RepositoryName, Text: repository}},
		}
	}
	return asked
}

// target names the object for the audit log: repository:tag, repository@digest, or the repository alone.
func (q *request) target(repository string) string {
	switch {
	case q.at.tag != "":
		return repository + ":" + q.at.tag
	case q.at.digest != "":
		return repository + "@" + q.at.digest
	case q.at.upload != "":
		return repository + " (upload)"
	}
	return repository
}

// authorizeList finds out which repositories the caller may see: all of them with a right on the registry, otherwise those
// that it may pull. Who may pull nothing anywhere in the registry is refused.
func (s *Server) authorizeList(ctx context.Context, q *request) error {
	if !q.who.carries(list, "registry", "catalog") {
		return q.insufficient("registry:catalog:" + list.scope)
	}
	whole := make([]guard.Request, len(list.any))
	for i, right := range list.any {
		whole[i] = guard.Request{
			Who: q.who.principal, Action: right.action, Data: right.data, Plane: plane, RequestID: q.id, Client: q.client(),
			Scopes: []resource.ID{q.registry.ID}, Target: "_catalog",
		}
	}
	q.visible = func(string) bool { return true }
	if q.who.admin {
		return s.record(ctx, q, whole[0], "admin user of "+q.registry.Name)
	}
	anyOf := func(requests []guard.Request, allowed func(guard.Request) bool) bool {
		for _, request := range requests {
			if allowed(request) {
				return true
			}
		}
		return false
	}
	if anyOf(whole, s.Guard.Allowed) {
		return s.Guard.CheckAny(ctx, whole[0], whole[1:]...)
	}
	some := make([]guard.Request, len(pull.any))
	for i, right := range pull.any {
		some[i] = whole[0]
		some[i].Action, some[i].Data = right.action, right.data
	}
	if !anyOf(some, s.Guard.AllowedBelow) {
		return s.Guard.CheckAny(ctx, whole[0], whole[1:]...)
	}
	q.visible = func(repository string) bool { return anyOf(q.ask(pull, repository), s.Guard.Allowed) }
	q.recordList = func(names []string) error {
		if len(names) == 0 {
			return s.record(ctx, q, whole[0], q.who.principal.Name)
		}
		asked := q.ask(pull, names[0])
		for i := range asked {
			asked[i].Target = "_catalog"
		}
		return s.Guard.CheckAny(ctx, asked[0], asked[1:]...)
	}
	return nil
}
