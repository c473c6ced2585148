package access_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/resource"
)

// world makes small random roles, assignments and requests over few words, so that they meet often: names that are
// prefixes of each other, ids in mixed case, roles that nobody defined, patterns with stars anywhere.
type world struct {
	random     *rand.Rand
	catalogue  []access.Operation
	operations []access.Operation // what actions are made from: the catalogue and some that it lacks
	principals []string
	roleIDs    []string
	scopes     []resource.ID
	sequence   int
	conditions map[*condition.Condition]naiveCondition
	most       bounds
}

var allOperations = access.Catalogue()

// bounds say how large a random world may become.
type bounds struct{ operations, principals, roles, scopes, many int }

var (
	ordinary = bounds{operations: 60, principals: 7, roles: 9, scopes: 30, many: 150}
	tiny     = bounds{operations: 6, principals: 2, roles: 3, scopes: 6, many: 50} // many times a second
)

func newWorld(random *rand.Rand, most bounds) *world {
	w := &world{random: random, most: most, conditions: map[*condition.Condition]naiveCondition{}}
	for range 3 + random.IntN(most.operations) {
		w.catalogue = append(w.catalogue, pick(w, allOperations))
	}
	w.operations = append(w.operations, w.catalogue...)
	for range 5 {
		w.operations = append(w.operations, pick(w, allOperations))
	}
	w.operations = append(w.operations,
		access.Operation{Name: "Microsoft.Unknown/things/read"},
		access.Operation{Name: "Microsoft.Unknown/things/parts/read", Data: true},
		access.Operation{Name: "Microsoft.Storage/storageAccounts/read"},
		access.Operation{Name: "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read", Data: true},
	)
	for i := range 1 + random.IntN(most.principals) {
		w.principals = append(w.principals, fmt.Sprintf("0000000%d-aaaa-bbbb-cccc-000000000000", i))
	}
	for i := range 1 + random.IntN(most.roles) {
		w.roleIDs = append(w.roleIDs, fmt.Sprintf("dddddd%02d-aaaa-bbbb-cccc-000000000000", i))
	}
	w.scopes = append(w.scopes, resource.Root)
	for range 4 + random.IntN(most.scopes) {
		w.scopes = append(w.scopes, w.below(pick(w, w.scopes)))
	}
	return w
}

func pick[T any](w *world, list []T) T { return list[w.random.IntN(len(list))] }

func (w *world) one(in int) bool { return w.random.IntN(in) == 0 }

// below makes a scope directly below another.
func (w *world) below(scope resource.ID) resource.ID {
	name := pick(w, []string{"a", "aa", "A", "a1", "a10", "b", "providers", "subscriptions"})
	switch depth := len(scope.Segments()); {
	case depth == 0 && w.one(4):
		return resource.MustParseID("/providers/Microsoft.Management/managementGroups/" + name)
	case depth == 0:
		return resource.MustParseID("/subscriptions/" + name)
	case depth == 2 && !w.one(5):
		return resource.MustParseID(scope.String() + "/resourcegroups/" + name)
	case depth > 14:
		return resource.Root
	case scope.Type().Namespace() == "Microsoft.Storage" && !w.one(4):
		return scope.Child(pick(w, []string{"parts", "Parts", "more/x/parts"}), name)
	default:
		return scope.Extension("Microsoft.Storage/storageAccounts", name)
	}
}

func (w *world) scope() resource.ID {
	scope := pick(w, w.scopes)
	for w.one(3) {
		scope = w.below(scope)
	}
	if w.one(6) {
		return resource.MustParseID(strings.ToUpper(scope.String()))
	}
	return scope
}

func (w *world) pattern() string {
	name := pick(w, w.operations).Name
	switch w.random.IntN(8) {
	case 0:
		return name
	case 1:
		return "*"
	case 2:
		return "*/" + pick(w, []string{"read", "write", "delete", "action"})
	}
	for {
		segments := strings.Split(name, "/")
		at := w.random.IntN(len(segments))
		switch w.random.IntN(4) {
		case 0:
			segments[at] = "*"
			name = strings.Join(segments, "/")
		case 1:
			name = strings.Join(append(segments[:at:at], append([]string{"*"}, segments[at:]...)...), "/")
		case 2:
			cut := w.random.IntN(len(name) + 1)
			name = name[:cut] + "*"
		default:
			from := w.random.IntN(len(name) + 1)
			name = name[:from] + "*" + name[from+w.random.IntN(len(name)-from+1):]
		}
		if !w.one(3) {
			return name
		}
	}
}

func (w *world) patterns(most int) []string {
	var patterns []string
	for range w.random.IntN(most + 1) {
		patterns = append(patterns, w.pattern())
	}
	return patterns
}

func (w *world) role(id string) *access.Role {
	role := &access.Role{ID: id, Name: "Role " + id[6:8+w.random.IntN(2)]}
	for range w.random.IntN(4) {
		role.Permissions = append(role.Permissions, access.Permission{
			Actions: w.patterns(4), NotActions: w.patterns(2), DataActions: w.patterns(4), NotDataActions: w.patterns(2),
		})
	}
	return role
}

func (w *world) assignment() access.Assignment {
	w.sequence++
	assignment := access.Assignment{
		RoleID: pick(w, w.roleIDs), PrincipalID: pick(w, w.principals), PrincipalType: "User", Scope: w.scope(),
	}
	switch w.random.IntN(12) {
	case 0:
		assignment.RoleID = "99999999-0000-0000-0000-000000000000"
	case 1:
		assignment.RoleID = strings.ToUpper(assignment.RoleID)
	case 2:
		assignment.PrincipalID = strings.ToUpper(assignment.PrincipalID)
	case 3:
		if w.one(4) {
			assignment.PrincipalID = ""
		}
	}
	if w.one(3) {
		assignment.Condition = w.condition()
	}
	assignment.ID = assignment.Scope.Extension("Microsoft.Authorization/roleAssignments", fmt.Sprintf("n%06d", w.sequence))
	return assignment
}

func (w *world) request() access.Request {
	operation := pick(w, w.operations)
	r := access.Request{PrincipalID: pick(w, w.principals), Action: operation.Name, Data: operation.Data, Scope: w.scope()}
	r.Attributes, r.Now = w.attributes()
	for range w.random.IntN(3) {
		r.Groups = append(r.Groups, pick(w, w.principals))
	}
	switch w.random.IntN(20) {
	case 0:
		r.Action = strings.ToLower(r.Action)
	case 1:
		r.Action = strings.ToUpper(r.Action)
	case 2:
		r.Action = w.pattern()
	case 3:
		r.Data = !r.Data
	case 4:
		r.Action = pick(w, []string{"", "read", "*", "/", "workspaces/read", "Microsoft.Storage", "Microsoft.Storage/",
			"/read", "Microsoft.Storage//read", "Microsoft.Storage/*/read", "Microsoft.Storage/read"})
	case 5:
		r.PrincipalID = ""
	case 6:
		r.PrincipalID = strings.ToUpper(r.PrincipalID)
	case 7:
		r.Groups = append(r.Groups, "", "66666666-0000-0000-0000-000000000000")
	case 8:
		r.PrincipalID = "77777777-0000-0000-0000-000000000000"
	}
	return r
}

// state makes roles and assignments, sometimes so many that a principal holds more than a short list.
func (w *world) state() *naive {
	n := &naive{operations: uniqueOperations(w.catalogue), conditions: w.conditions}
	for _, id := range w.roleIDs {
		n.roles = append(n.roles, w.role(id))
	}
	most := 14
	if w.one(5) {
		most = w.most.many
	}
	for range w.random.IntN(most) {
		n.assignments = append(n.assignments, w.assignment())
	}
	return n
}

func (n *naive) live() *access.Live {
	live := access.NewLive(n.operations, n.roles...)
	changes := make([]access.Change, len(n.assignments))
	for i := range n.assignments {
		changes[i] = access.PutAssignment{Assignment: n.assignments[i]}
	}
	live.Apply(changes...)
	return live
}

func uniqueOperations(operations []access.Operation) []access.Operation {
	var unique []access.Operation
	for _, operation := range operations {
		double := false
		for _, other := range unique {
			double = double || strings.EqualFold(other.Name, operation.Name) && other.Data == operation.Data
		}
		if !double {
			unique = append(unique, operation)
		}
	}
	return unique
}
