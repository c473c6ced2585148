package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/google/uuid"
)

// CreateGroup adds an empty group.
func (d *Directory) CreateGroup(ctx context.Context, displayName, description string) (GroupObject, error) {
	if err := checkDisplayName(displayName); err != nil {
		return GroupObject{}, err
	}
	group := GroupObject{
		ID: uuid.NewString(), DisplayName: displayName, Description: description,
		MailNickname: strings.ReplaceAll(displayName, " ", ""), Created: d.clock().UTC(), Members: []string{},
	}
	op, err := put(kindGroups, group.ID, group, store.None)
	if err != nil {
		return GroupObject{}, err
	}
	if _, err := d.store.Apply(ctx, op); err != nil {
		return GroupObject{}, err
	}
	return group, nil
}

// DeleteGroup removes a group, also from the groups that hold it.
func (d *Directory) DeleteGroup(ctx context.Context, id string) error {
	if _, ok := d.Group(id); !ok {
		return absent(id)
	}
	return d.remove(ctx, kindGroups, id)
}

// Group finds a group by object id.
func (d *Directory) Group(id string) (GroupObject, bool) { return get(d, d.groups, id) }

// ListGroups lists all groups, ordered by object id.
func (d *Directory) ListGroups() []GroupObject { return list(d, d.groups) }

// AddMember puts a user, service principal or group into a group. A member that is in it already is a Conflict (code
// "Request_BadRequest"), as Graph has it.
func (d *Directory) AddMember(ctx context.Context, groupID, memberID string) error {
	memberID = strings.ToLower(memberID)
	if _, ok := d.Lookup(memberID); !ok {
		return absent(memberID)
	}
	if sameID(groupID, memberID) {
		return resource.Invalidf("Request_BadRequest", "The group %s cannot be a member of itself.", groupID)
	}
	_, err := edit(ctx, d, d.groups, kindGroups, groupID, func(group *GroupObject) error {
		at, found := slices.BinarySearch(group.Members, memberID)
		if found {
			return resource.Conflictf("Request_BadRequest",
				"One or more added object references already exist for the following modified properties: 'members': %s is in the group already.", memberID)
		}
		group.Members = slices.Insert(group.Members, at, memberID)
		return nil
	})
	return err
}

// RemoveMember takes a principal out of a group.
func (d *Directory) RemoveMember(ctx context.Context, groupID, memberID string) error {
	memberID = strings.ToLower(memberID)
	_, err := edit(ctx, d, d.groups, kindGroups, groupID, func(group *GroupObject) error {
		at, found := slices.BinarySearch(group.Members, memberID)
		if !found {
			return absent(memberID)
		}
		group.Members = slices.Delete(group.Members, at, at+1)
		return nil
	})
	return err
}

// Members lists the direct members of a group that still exist. Their Groups are filled in.
func (d *Directory) Members(groupID string) ([]Principal, error) {
	group, ok := d.Group(groupID)
	if !ok {
		return nil, absent(groupID)
	}
	members := make([]Principal, 0, len(group.Members))
	for _, id := range group.Members {
		if member, ok := d.Lookup(id); ok {
			members = append(members, member)
		}
	}
	return members, nil
}

// Groups gives the object ids of all groups that hold a principal, directly or through other groups, sorted.
func (d *Directory) Groups(principalID string) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.closure(strings.ToLower(principalID))
}

// closure walks upwards through the memberships. The caller holds mu.
func (d *Directory) closure(id string) []string {
	if len(d.memberOf[id]) == 0 {
		return nil
	}
	seen := map[string]struct{}{}
	pending := []string{id}
	for len(pending) > 0 {
		next := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		for group := range d.memberOf[next] {
			if _, known := seen[group]; !known {
				seen[group] = struct{}{}
				pending = append(pending, group)
			}
		}
	}
	delete(seen, id) // a group in a cycle is not its own member
	return sortedKeys(seen)
}

// remove deletes an object and takes it out of the groups that name it, in one change.
func (d *Directory) remove(ctx context.Context, kind, id string) error {
	d.write.Lock()
	defer d.write.Unlock()
	id = strings.ToLower(id)
	ops := []store.Op{store.Delete{Key: key(kind, id)}}
	d.mu.RLock()
	holders := sortedKeys(d.memberOf[id])
	for _, holder := range holders {
		e := d.groups[holder]
		group := clone(&e.object)
		group.Members = slices.DeleteFunc(group.Members, func(member string) bool { return member == id })
		op, err := put(kindGroups, holder, group, e.etag)
		if err != nil {
			d.mu.RUnlock()
			return err
		}
		if holder != id {
			ops = append(ops, op)
		}
	}
	d.mu.RUnlock()
	_, err := d.store.Apply(ctx, ops...)
	if resource.KindOf(err) == resource.NotFound {
		return absent(id)
	}
	return err
}
