// Package access decides who may do what: role definitions, role assignments and one pure decision over them.
//
// It owns the documented rules of role-based access control (Match for action patterns, ValidateRole for definitions, package condition for conditions), the
// built-in roles, the catalogue of operations, and the compiled form that answers a check in well under a microsecond.
// It reads and writes nothing: the resource manager stores definitions and assignments and reports each change to Live,
// identity says who asks and in which groups they are, and every plane asks Snapshot.Can.
//
// The rules, in the order in which they apply:
//
//   - An assignment gives one principal one role at one scope. It is in force at that scope and at everything below it,
//     compared by whole segments. The root "/" contains everything. Ids compare without regard to case.
//   - A role holds permission blocks. A block grants Actions − NotActions on the control plane and DataActions −
//     NotDataActions on the data plane. The planes are apart: no action, not even "*", grants a data action.
//   - Blocks of a role and assignments of a principal add up. NotActions is no deny: what one block leaves out another may
//     grant.
//   - An assignment to a group counts for every member. Request.Groups is transitive already.
//   - An assignment with a condition counts only for the requests for which the condition holds (package condition).
//   - What nothing grants is refused: an unknown role, an unknown principal, an action without a provider.
//
// How it is compiled: every operation of the catalogue has a number, every role a slot, and a matrix operation × slot holds
// one bit per grant. The assignments of a principal are found by hash, and those at the ancestors of the requested scope by
// walking its id. All of it is persistent: a change copies the few nodes that it touches and publishes a new Snapshot, so
// readers never wait and a write costs the same whether there are a thousand assignments or a million.
package access
