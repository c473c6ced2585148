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

func newLimit(snapshot *access.Snapshot, operations []access.Operation, roles []*access.Role, held map[string][]access.Assignment) *Limit {
	l := &Limit{control: map[string][]uint64{}, data: map[string][]uint64{}, principals: map[string][]int32{}}
	words := (len(roles) + 63) / 64
	for _, operation := range operations {
		l.plane(operation.Data)[operation.Name] = make([]uint64, words)
	}
	numbers := map[string]int32{}
	for i, role := range roles {
		numbers[role.ID] = int32(i)
		for _, operation := range snapshot.OperationsOf(role.ID) {
			l.plane(operation.Data)[operation.Name][i>>6] |= 1 << (i & 63)
		}
	}
	for principal, assignments := range held {
		seen := map[int32]bool{}
		for _, assignment := range assignments {
			if role := numbers[assignment.RoleID]; !seen[role] {
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
