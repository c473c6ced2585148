package graph

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

type groupView struct {
	annotations
	ID              string    `json:"id"`
	Created         time.Time `json:"createdDateTime"`
	Description     *string   `json:"description"`
	DisplayName     string    `json:"displayName"`
	GroupTypes      []string  `json:"groupTypes"`
	Mail            *string   `json:"mail"`
	MailEnabled     bool      `json:"mailEnabled"`
	MailNickname    string    `json:"mailNickname"`
	SecurityEnabled bool      `json:"securityEnabled"`
	Visibility      *string   `json:"visibility"`
}

func viewGroup(_ *identity.Directory, g *identity.GroupObject) view {
	return &groupView{
		annotations: annotations{Type: "#microsoft.graph.group"}, ID: g.ID, Created: g.Created, Description: orNull(g.Description),
		DisplayName: g.DisplayName, GroupTypes: []string{}, MailNickname: g.MailNickname, SecurityEnabled: true,
	}
}

func orNull(value string) *string {
	if value == "" {
		return nil
	}
	return &value
}

var groups = &entity[identity.GroupObject]{
	properties: map[string]kind{"id": text, "displayName": text, "description": text, "mailNickname": text, "securityEnabled": flag, "mailEnabled": flag, "groupTypes": texts},
	value: func(_ *identity.Directory, g *identity.GroupObject, property string) any {
		switch property {
		case "id":
			return g.ID
		case "displayName":
			return g.DisplayName
		case "mailNickname":
			return g.MailNickname
		case "securityEnabled":
			return true
		case "mailEnabled":
			return false
		case "description":
			if g.Description != "" {
				return g.Description
			}
		}
		return nil
	},
	id:   func(g *identity.GroupObject) string { return g.ID },
	view: viewGroup,
}

// groupIgnored are the properties that Graph's groups have and this directory keeps nothing of.
var groupIgnored = []string{
	"allowExternalSenders", "autoSubscribeNewMembers", "classification", "hideFromAddressLists", "hideFromOutlookClients", "isAssignableToRole",
	"mailNickname", "owners@odata.bind", "preferredDataLocation", "preferredLanguage", "theme", "visibility",
}

func listGroups(s *Server, _ context.Context, q *request) (answer, error) {
	return listed(s, q, groups, "groups", false, s.Directory.ListGroups, nil)
}

// group finds the group that the path names by object id.
func (s *Server) group(q *request) (identity.GroupObject, error) {
	at := q.at[0]
	group, ok := s.Directory.Group(at.value)
	if !ok || at.key != "" {
		return group, absent(at.value)
	}
	return group, nil
}

func getGroup(s *Server, _ context.Context, q *request) (answer, error) {
	group, err := s.group(q)
	if err != nil {
		return answer{}, err
	}
	return q.single(viewGroup(s.Directory, &group), "groups", false)
}

func createGroup(s *Server, ctx context.Context, q *request) (answer, error) {
	f, err := readBody(q.http)
	if err != nil {
		return answer{}, err
	}
	name, err := f.required("displayName")
	if err != nil {
		return answer{}, err
	}
	description, _, err := f.text("description")
	if err != nil {
		return answer{}, err
	}
	if err := securityGroup(f); err != nil {
		return answer{}, err
	}
	references, _, err := f.texts("members@odata.bind")
	if err != nil {
		return answer{}, err
	}
	var members []string
	for _, reference := range references {
		id, err := s.reference(reference, "members@odata.bind")
		if err != nil {
			return answer{}, err
		}
		if !slices.Contains(members, id) {
			members = append(members, id)
		}
	}
	if err := f.done(groupIgnored...); err != nil {
		return answer{}, err
	}
	group, err := s.Directory.CreateGroup(ctx, name, description)
	if err != nil {
		return answer{}, err
	}
	for _, id := range members {
		if err := s.Directory.AddMember(ctx, group.ID, id); err != nil {
			// The member has gone in the meantime, and the caller is told that the group was refused.
			if undo := s.Directory.DeleteGroup(context.WithoutCancel(ctx), group.ID); undo != nil {
				s.Log.Error("graph: a group that could not be completed stays", "group", group.ID, "error", undo)
			}
			return answer{}, err
		}
	}
	return q.created(viewGroup(s.Directory, &group), "groups", group.ID)
}

// securityGroup refuses the kinds of group that this directory has not: those with mail, and those whose members a rule
// chooses.
func securityGroup(f *fields) error {
	mail, _, err := f.flag("mailEnabled")
	if err != nil {
		return err
	}
	security, given, err := f.flag("securityEnabled")
	if err != nil {
		return err
	}
	types, _, err := f.texts("groupTypes")
	if err != nil {
		return err
	}
	if mail || len(types) > 0 || given && !security {
		return resource.Invalidf(badRequest, "this directory has security groups alone: mailEnabled must be false, securityEnabled true and groupTypes empty.").At("groupTypes")
	}
	return nil
}

func deleteGroup(s *Server, ctx context.Context, q *request) (answer, error) {
	group, err := s.group(q)
	if err != nil {
		return answer{}, err
	}
	return answer{}, s.Directory.DeleteGroup(ctx, group.ID)
}

// reference reads an address such as https://graph.microsoft.com/v1.0/directoryObjects/{id} and gives the id of an object
// that can be a member. Only the path counts: clients write the host that they know.
func (s *Server) reference(address, field string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", resource.Invalidf(badRequest, "%s: '%s' is no address.", field, address).At(field)
	}
	path, err := splitPath(u.EscapedPath())
	if err != nil {
		return "", err
	}
	if len(path) > 0 && (path[0].value == "v1.0" || path[0].value == "beta") {
		path = path[1:]
	}
	if len(path) != 2 || path[1].key != "" || !slices.ContainsFunc([]string{"directoryObjects", "users", "groups", "servicePrincipals"},
		func(collection string) bool { return strings.EqualFold(collection, path[0].value) }) || uuid.Validate(path[1].value) != nil {
		return "", resource.Invalidf(badRequest, "%s: '%s' is not understood; the form is %s.", field, address, "https://graph.microsoft.com/v1.0/directoryObjects/{id}").At(field)
	}
	principal, ok := s.Directory.Lookup(path[1].value)
	if !ok {
		return "", absent(path[1].value)
	}
	return principal.ID, nil
}

func addMember(s *Server, ctx context.Context, q *request) (answer, error) {
	group, err := s.group(q)
	if err != nil {
		return answer{}, err
	}
	f, err := readBody(q.http)
	if err != nil {
		return answer{}, err
	}
	address, err := f.required("@odata.id")
	if err != nil {
		return answer{}, err
	}
	if err := f.done(); err != nil {
		return answer{}, err
	}
	member, err := s.reference(address, "@odata.id")
	if err != nil {
		return answer{}, err
	}
	return answer{}, s.Directory.AddMember(ctx, group.ID, member)
}

func removeMember(s *Server, ctx context.Context, q *request) (answer, error) {
	group, err := s.group(q)
	if err != nil {
		return answer{}, err
	}
	return answer{}, s.Directory.RemoveMember(ctx, group.ID, q.at[1].value)
}

func groupOwners(s *Server, ctx context.Context, q *request) (answer, error) {
	if _, err := s.group(q); err != nil {
		return answer{}, err
	}
	return owned(s, ctx, q)
}
