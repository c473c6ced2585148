package machinelearning

import (
	"context"
	"fmt"

	"github.com/alvara-ml/alvara/access"
)

// readAssignments is the permission to see who holds what.
const readAssignments = string(assignmentType) + "/read"

// checkBroadGrants: what runs jobs does not own or change everything in the group.
func checkBroadGrants(ctx context.Context, e *examination) error {
	group := e.workspace.ID.GroupID()
	if !e.may(readAssignments, group, "whether what runs jobs holds too much") {
		return nil
	}
	workers, err := e.workers(ctx)
	if err != nil {
		return err
	}
	snapshot := e.call.Manager.Guard.Access.Snapshot()
	for _, one := range workers {
		for _, identity := range one.identities {
			who, known := e.call.Manager.Identities.Lookup(identity.principal)
			if !known {
				continue
			}
			for _, assignment := range snapshot.AssignmentsFor(who.ID, who.Groups...) {
				role := snapshot.Role(assignment.RoleID)
				if role == nil || !assignment.Scope.Contains(group) || (role.ID != access.RoleOwner && role.ID != access.RoleContributor && role.ID != access.RoleUserAccessAdministrator) {
					continue
				}
				f := Finding{
					ID: "GrantTooBroad", Level: levelWarning, What: one.id,
					Message: fmt.Sprintf("%s, as %s (principal %s), holds %s on %s.", one.name, identity.name, who.ID, role.Name, assignment.Scope),
					Why:     "Whoever may have code run there can do all of that. Grant it what the code needs where it needs it, and take this away.",
					Cure:    []string{commandLine("role", "assignment", "delete", "--ids", assignment.ID.String())}, Manual: true,
				}
				if assignment.PrincipalID != who.ID {
					f.Message = fmt.Sprintf("%s, as %s (principal %s), holds %s on %s, as a member of the group %s.", one.name, identity.name, who.ID, role.Name, assignment.Scope, assignment.PrincipalID)
				}
				e.add(f)
			}
		}
	}
	return nil
}

// runsCode is what code runs on, with the identities that it can be.
type runsCode struct {
	id, name   string // the name begins a sentence
	identities []carried
}

// workers are what code runs on.
func (e *examination) workers(ctx context.Context) ([]runsCode, error) {
	computes, err := e.computes(ctx)
	if err != nil {
		return nil, err
	}
	var out []runsCode
	for _, compute := range computes {
		out = append(out, runsCode{compute.ID.String(), "The compute " + compute.Name, carriedBy(compute.Identity)})
	}
	endpoints, err := e.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	for _, endpoint := range endpoints {
		out = append(out, runsCode{endpoint.ID.String(), "The endpoint " + endpoint.Name, carriedBy(endpoint.Identity)})
	}
	return out, nil
}

// checkOrphanedGrants: no role on the workspace, or on something in it, is held by somebody who is not there any more.
func checkOrphanedGrants(_ context.Context, e *examination) error {
	if !e.may(readAssignments, e.workspace.ID, "whether roles are held by nobody") {
		return nil
	}
	snapshot := e.call.Manager.Guard.Access.Snapshot()
	for _, assignment := range append(snapshot.AssignmentsAt(e.workspace.ID), snapshot.AssignmentsBelow(e.workspace.ID)...) {
		if _, known := e.call.Manager.Identities.Lookup(assignment.PrincipalID); known {
			continue
		}
		name := assignment.RoleID
		if role := snapshot.Role(assignment.RoleID); role != nil {
			name = role.Name
		}
		e.add(Finding{
			ID: "GrantOfNobody", Level: levelInfo, What: assignment.Scope.String(),
			Message: fmt.Sprintf("%s on %s is held by the principal %s, who is not in the directory any more.", name, assignment.Scope, assignment.PrincipalID),
			Why:     "It grants nothing. A principal that is made again is another one, and an assignment that says Unknown hides those that count.",
			Cure:    []string{commandLine("role", "assignment", "delete", "--ids", assignment.ID.String())},
		})
	}
	return nil
}
