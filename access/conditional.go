package access

import (
	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/access/wildcard"
)

// canConditionally looks for an assignment whose condition holds. What is held under conditions is kept apart, so that
// whoever holds nothing of the kind pays nothing for it.
func (s *Snapshot) canConditionally(q *query, r *Request, key string) Decision {
	input := condition.Input{Attributes: r.Attributes, Now: r.Now}
	asked := *q
	asked.input = &input
	for i := -1; i < len(r.Groups); i++ {
		principal, group := r.PrincipalID, ""
		if i >= 0 {
			principal, group = r.Groups[i], r.Groups[i]
		}
		h := s.holder(principal)
		if h == nil || h.conditional == nil {
			continue
		}
		if input.Action == "" {
			input.Action = s.lowerAction(q, r)
		}
		if found, slot := h.conditional.find(s, &asked, key); found != nil {
			return Decision{Allowed: true, Assignment: found, Role: s.roles[slot].role, Group: group}
		}
	}
	return Decision{}
}

// lowerAction gives the action in lower case, as conditions compare it.
func (s *Snapshot) lowerAction(q *query, r *Request) string {
	if q.action != "" {
		return q.action
	}
	if n, known := s.catalogue.number(r.Action, r.Data); known {
		return s.catalogue.lower[n]
	}
	return wildcard.Lower(r.Action)
}

// Unmet gives the assignments that would allow the request if their conditions held, the principal's own first, then
// group by group. It is for explaining a refusal.
func (s *Snapshot) Unmet(r Request) []Decision {
	q, ok := s.ask(r.Action, r.Data)
	if !ok || s.conditions == 0 {
		return nil
	}
	input := condition.Input{Action: s.lowerAction(&q, &r), Attributes: r.Attributes, Now: r.Now}
	var unmet []Decision
	s.eachGranting(&q, r, func(d Decision) {
		if !d.Assignment.Condition.Holds(&input) {
			d.Allowed = false
			unmet = append(unmet, d)
		}
	})
	return unmet
}
