package guard

import "context"

// CheckAny is Check for what several rights allow, each of them alone: it passes when one of the requests does. There is
// one record in the audit log, of the request that was allowed. When none was, it is of the first that a role assignment
// would grant but for its condition, or else of the first one; that is also the one that the refusal names.
func (g *Guard) CheckAny(ctx context.Context, first Request, others ...Request) error {
	if g.Allowed(first) {
		return g.Check(ctx, first)
	}
	for _, other := range others {
		if g.Allowed(other) {
			return g.Check(ctx, other)
		}
	}
	if len(g.unmet(first)) == 0 {
		for _, other := range others {
			if len(g.unmet(other)) > 0 {
				return g.Check(ctx, other)
			}
		}
	}
	return g.Check(ctx, first)
}

// AllowedBelow tells whether a request could be allowed somewhere at or below its scopes. Like Allowed it leaves no record:
// it tells a list that is empty from one that the caller has no business with.
func (g *Guard) AllowedBelow(request Request) bool {
	snapshot := g.Access.Snapshot()
	for _, scope := range request.Scopes {
		if snapshot.Any(request.Who.ID, request.Who.Groups, request.Action, request.Data, scope) {
			return true
		}
	}
	return false
}
