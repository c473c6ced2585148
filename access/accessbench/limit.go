package accessbench

import (
	"github.com/alvara-ml/alvara/access"
)

// Limit is the least that any check must do: find the operation's bits, find the principal's roles and probe. It knows no
// scopes, no groups and no reasons, and so allows more than the rules do.
type Limit struct {
	control    map[string][]uint64 // operation → roles
	data       map[string][]uint64
	principals map[string][]int32 // principal → roles
}

// newLimit is given the numbers of the roles that the assignments name, one principal's after another's.
func newLimit(snapshot *access.Snapshot, operations []access.Operation, roles []*access.Role, principals []string, held []int32) *Limit {
	l := &Limit{control: map[string][]uint64{}, data: map[string][]uint64{}, principals: map[string][]int32{}}
	words := (len(roles) + 63) / 64
	for _, operation := range operations {
		l.plane(operation.Data)[operation.Name] = make([]uint64, words)
	}
	for i, role := range roles {
		for _, operation := range snapshot.OperationsOf(role.ID) {
			l.plane(operation.Data)[operation.Name][i>>6] |= 1 << (i & 63)
		}
	}
	for i, principal := range principals {
		seen := make([]bool, len(roles))
		for _, role := range share(held, i, len(principals)) {
			if !seen[role] {
				seen[role] = true
				l.principals[principal] = append(l.principals[principal], role)
			}
		}
	}
	return l
}

func (l *Limit) plane(data bool) map[string][]uint64 {
	if data {
		return l.data
	}
	return l.control
}

// Probe tells whether some role of the principal grants the action anywhere.
func (l *Limit) Probe(r *access.Request) bool {
	bits := l.plane(r.Data)[r.Action]
	for _, role := range l.principals[r.PrincipalID] {
		if bits[role>>6]>>(role&63)&1 != 0 {
			return true
		}
	}
	return false
}
