// Command access runs the access check's benchmark world on other policy engines, in the same run as ours and in turns with
// it, and prints the time of a check. Policies are split by principal, which is the best that either engine is known for.
package main

import (
	"fmt"
	"log"
	"slices"
	"strings"
	"time"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/accessbench"
)

const (
	seed   = 20250401
	rounds = 5
	checks = 2000
)

// side is one engine: it answers request number i.
type side struct {
	name  string
	allow func(i int) bool
}

func main() {
	world := accessbench.Build(seed, accessbench.P1)
	snapshot := world.Live.Snapshot()
	requests := world.Requests[:checks]
	cedarSide, err := newCedar(snapshot, requests)
	if err != nil {
		log.Fatal(err)
	}
	casbinSide, err := newCasbin(snapshot, requests)
	if err != nil {
		log.Fatal(err)
	}
	sides := []side{{"alvara", func(i int) bool { return world.Live.Snapshot().Can(requests[i]).Allowed }}, cedarSide, casbinSide}
	right := make([]bool, len(requests))
	for i, r := range requests {
		right[i] = snapshot.Can(r).Allowed
	}
	took := map[string][]float64{}
	for range rounds {
		for _, s := range sides {
			wrong, began := 0, time.Now()
			for i := range requests {
				if s.allow(i) != right[i] {
					wrong++
				}
			}
			took[s.name] = append(took[s.name], time.Since(began).Seconds()/checks*1e6)
			if wrong > 0 {
				log.Fatalf("%s disagrees on %d of %d checks", s.name, wrong, checks)
			}
		}
	}
	for _, s := range sides {
		slices.Sort(took[s.name])
		fmt.Printf("%-8s %10.2f µs a check\n", s.name, took[s.name][rounds/2])
	}
}

func held(snapshot *access.Snapshot, requests []access.Request) map[string][]*access.Assignment {
	all := map[string][]*access.Assignment{}
	for _, r := range requests {
		if all[r.PrincipalID] == nil {
			all[r.PrincipalID] = snapshot.AssignmentsFor(r.PrincipalID)
		}
	}
	return all
}

// newCedar makes a policy for each assignment: actions are members of the roles that grant them, scopes of those above.
func newCedar(snapshot *access.Snapshot, requests []access.Request) (side, error) {
	entities, sets := types.EntityMap{}, map[string]*cedar.PolicySet{}
	actions := map[types.EntityUID][]types.EntityUID{}
	used := map[string]bool{}
	for principal, assignments := range held(snapshot, requests) {
		var text strings.Builder
		for _, a := range assignments {
			fmt.Fprintf(&text, "permit(principal, action in Action::%q, resource in Scope::%q);\n", "role:"+a.RoleID, a.Scope.Key())
			used[a.RoleID] = true
		}
		set, err := cedar.NewPolicySetFromBytes("p", []byte(text.String()))
		if err != nil {
			return side{}, err
		}
		sets[principal] = set
	}
	for role := range used {
		for _, operation := range snapshot.OperationsOf(role) {
			action := actionOf(operation.Name, operation.Data)
			actions[action] = append(actions[action], types.NewEntityUID("Action", types.String("role:"+role)))
		}
	}
	for action, roles := range actions {
		entities[action] = types.Entity{UID: action, Parents: types.NewEntityUIDSet(roles...)}
	}
	asked := make([]cedar.Request, len(requests))
	for i, r := range requests {
		for at := r.Scope; !at.IsRoot(); at = at.Parent() {
			uid := types.NewEntityUID("Scope", types.String(at.Key()))
			entities[uid] = types.Entity{UID: uid, Parents: types.NewEntityUIDSet(types.NewEntityUID("Scope", types.String(at.Parent().Key())))}
		}
		asked[i] = cedar.Request{
			Principal: types.NewEntityUID("Principal", types.String(r.PrincipalID)), Action: actionOf(r.Action, r.Data),
			Resource: types.NewEntityUID("Scope", types.String(r.Scope.Key())),
		}
	}
	return side{"cedar", func(i int) bool {
		decision, _ := cedar.Authorize(sets[requests[i].PrincipalID], entities, asked[i])
		return decision == cedar.Allow
	}}, nil
}

func actionOf(name string, data bool) types.EntityUID {
	if data {
		name = "data:" + name
	}
	return types.NewEntityUID("Action", types.String(name))
}

const casbinModel = `
[request_definition]
r = obj, act
[policy_definition]
p = obj, role
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = below(r.obj, p.obj) && grants(p.role, r.act)
`

// newCasbin makes an enforcer for each principal; what roles grant is looked up by a function, since casbin has no wildcards
// with exceptions.
func newCasbin(snapshot *access.Snapshot, requests []access.Request) (side, error) {
	enforcers, grants := map[string]*casbin.Enforcer{}, map[string]bool{}
	for principal, assignments := range held(snapshot, requests) {
		m, err := model.NewModelFromString(casbinModel)
		if err != nil {
			return side{}, err
		}
		e, err := casbin.NewEnforcer(m)
		if err != nil {
			return side{}, err
		}
		e.AddFunction("below", func(args ...any) (any, error) {
			scope, at := args[0].(string), args[1].(string)
			return scope == at || strings.HasPrefix(scope, at+"/"), nil
		})
		e.AddFunction("grants", func(args ...any) (any, error) { return grants[args[0].(string)+" "+args[1].(string)], nil })
		for _, a := range assignments {
			if _, err := e.AddPolicy(a.Scope.Key(), a.RoleID); err != nil {
				return side{}, err
			}
			for _, operation := range snapshot.OperationsOf(a.RoleID) {
				grants[a.RoleID+" "+actionKey(operation.Name, operation.Data)] = true
			}
		}
		enforcers[principal] = e
	}
	return side{"casbin", func(i int) bool {
		ok, err := enforcers[requests[i].PrincipalID].Enforce(requests[i].Scope.Key(), actionKey(requests[i].Action, requests[i].Data))
		return ok && err == nil
	}}, nil
}

func actionKey(name string, data bool) string {
	if data {
		return "data:" + name
	}
	return name
}
