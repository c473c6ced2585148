package cli

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

type adGroup struct {
	User         adUserGroup   `cmd:"" help:"Users."`
	Group        adGroupGroup  `cmd:"" help:"Groups and their members."`
	Sp           adSPGroup     `cmd:"" help:"Service principals."`
	App          adAppGroup    `cmd:"" help:"Applications."`
	SignedInUser signedInGroup `cmd:"" name:"signed-in-user" help:"Who is signed in."`
}

type signedInGroup struct {
	Show signedInShow `cmd:"" help:"Show who is signed in." example:"alvara ad signed-in-user show --query id -o tsv"`
}

type signedInShow struct{}

func (signedInShow) Run(c *Call) error {
	me, err := c.graph(http.MethodGet, "/me", nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(me, userColumns)
}

const userColumns = "[].{Name:displayName, UserPrincipalName:userPrincipalName, Id:id}"

type adUserGroup struct {
	Create adUserCreate `cmd:"" help:"Create a user." example:"alvara ad user create --display-name Ana --user-principal-name ana@example.org --password -"`
	Show   adUserShow   `cmd:"" help:"Show a user." example:"alvara ad user show --id ana@example.org"`
	List   adUserList   `cmd:"" help:"List users." example:"alvara ad user list -o table"`
	Delete adUserDelete `cmd:"" help:"Delete a user." example:"alvara ad user delete --id ana@example.org"`
}

type adUserCreate struct {
	DisplayName       string `name:"display-name" required:"" help:"Name to show."`
	UserPrincipalName string `name:"user-principal-name" required:"" help:"Sign-in name, such as ana@example.org."`
	Password          string `help:"Password; '-' reads it from stdin. Without one the user cannot sign in by password."`
	MailNickname      string `name:"mail-nickname" help:"Alias; without it the part of the sign-in name before the @."`
}

func (u *adUserCreate) Run(c *Call) error {
	body := document.New("accountEnabled", true, "displayName", u.DisplayName, "userPrincipalName", u.UserPrincipalName)
	nickname, _, _ := strings.Cut(u.UserPrincipalName, "@")
	if u.MailNickname != "" {
		nickname = u.MailNickname
	}
	body.Set("mailNickname", nickname)
	password := u.Password
	if password == "-" {
		var err error
		if password, err = readSecret(c.Program.Stdin); err != nil {
			return err
		}
	}
	if password != "" {
		body.Set("passwordProfile", document.New("forceChangePasswordNextSignIn", false, "password", password))
	}
	made, err := c.graph(http.MethodPost, "/users", body)
	if err != nil {
		return err
	}
	return c.PrintColumns(made, userColumns)
}

type adUserShow struct {
	ID string `name:"id" required:"" help:"Object id or user principal name."`
}

func (u *adUserShow) Run(c *Call) error {
	found, err := c.user(u.ID)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, userColumns)
}

type adUserList struct {
	UPN         string `name:"upn" help:"Only the user with this sign-in name."`
	DisplayName string `name:"display-name" help:"Only users whose name starts with this."`
	Filter      string `help:"OData filter."`
}

func (u *adUserList) Run(c *Call) error {
	filter := u.Filter
	if u.UPN != "" {
		filter = "userPrincipalName eq '" + odata(u.UPN) + "'"
	} else if u.DisplayName != "" {
		filter = "startswith(displayName,'" + odata(u.DisplayName) + "')"
	}
	found, err := c.graphList("/users", filter)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, userColumns)
}

type adUserDelete struct {
	ID string `name:"id" required:"" help:"Object id or user principal name."`
}

func (u *adUserDelete) Run(c *Call) error {
	_, err := c.graph(http.MethodDelete, "/users/"+segment(u.ID), nil)
	return err
}

const directoryGroupColumns = "[].{Name:displayName, Id:id, Description:description}"

type adGroupGroup struct {
	Create adGroupCreate `cmd:"" help:"Create a group." example:"alvara ad group create --display-name consumers"`
	Show   adGroupShow   `cmd:"" help:"Show a group." example:"alvara ad group show -g consumers --query id -o tsv"`
	List   adGroupList   `cmd:"" help:"List groups." example:"alvara ad group list -o table"`
	Delete adGroupDelete `cmd:"" help:"Delete a group." example:"alvara ad group delete -g consumers"`
	Member adMemberGroup `cmd:"" help:"Members of a group."`
}

type adGroupCreate struct {
	DisplayName  string `name:"display-name" required:"" help:"Name of the group."`
	MailNickname string `name:"mail-nickname" help:"Alias; without it the name without spaces."`
	Description  string `help:"What the group is for."`
	Force        bool   `help:"Make another group of the same name."`
}

func (g *adGroupCreate) Run(c *Call) error {
	if !g.Force {
		found, err := c.graphList("/groups", "displayName eq '"+odata(g.DisplayName)+"'")
		if err != nil {
			return err
		}
		if len(found) == 1 {
			return c.PrintColumns(found[0], directoryGroupColumns)
		}
	}
	nickname := g.MailNickname
	if nickname == "" {
		nickname = strings.ReplaceAll(g.DisplayName, " ", "")
	}
	made, err := c.graph(http.MethodPost, "/groups", document.New("displayName", g.DisplayName, "mailEnabled", false,
		"mailNickname", nickname, "securityEnabled", true).SetIf("description", g.Description))
	if err != nil {
		return err
	}
	return c.PrintColumns(made, directoryGroupColumns)
}

type adGroupName struct {
	Group string `short:"g" required:"" help:"Object id or display name of the group."`
}

type adGroupShow struct{ adGroupName }

func (g *adGroupShow) Run(c *Call) error {
	found, err := c.directoryGroup(g.Group)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, directoryGroupColumns)
}

type adGroupList struct {
	DisplayName string `name:"display-name" help:"Only groups whose name starts with this."`
	Filter      string `help:"OData filter."`
}

func (g *adGroupList) Run(c *Call) error {
	filter := g.Filter
	if g.DisplayName != "" {
		filter = "startswith(displayName,'" + odata(g.DisplayName) + "')"
	}
	found, err := c.graphList("/groups", filter)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, directoryGroupColumns)
}

type adGroupDelete struct{ adGroupName }

func (g *adGroupDelete) Run(c *Call) error {
	found, err := c.directoryGroup(g.Group)
	if err != nil {
		return err
	}
	_, err = c.graph(http.MethodDelete, "/groups/"+segment(found.Text("id")), nil)
	return err
}

type adMemberGroup struct {
	Add    adMemberAdd    `cmd:"" help:"Add a member." example:"alvara ad group member add -g consumers --member-id 5963f50c-7c43-405c-af7e-53294de76abd"`
	Remove adMemberRemove `cmd:"" help:"Remove a member." example:"alvara ad group member remove -g consumers --member-id 5963f50c-7c43-405c-af7e-53294de76abd"`
	List   adMemberList   `cmd:"" help:"List members." example:"alvara ad group member list -g consumers -o table"`
	Check  adMemberCheck  `cmd:"" help:"Say whether somebody is a member." example:"alvara ad group member check -g consumers --member-id 5963f50c-7c43-405c-af7e-53294de76abd"`
}

type adMember struct {
	adGroupName
	MemberID string `name:"member-id" required:"" help:"Object id of the member; a user principal name or client id is looked up."`
}

// resolve gives the object ids of the group and of the member.
func (m adMember) resolve(c *Call) (group, member string, err error) {
	found, err := c.directoryGroup(m.Group)
	if err != nil {
		return "", "", err
	}
	who, err := c.assignee(m.MemberID)
	return found.Text("id"), who.ID, err
}

func (c *Call) isMember(group, member string) (bool, error) {
	members, err := c.graphList("/groups/"+segment(group)+"/members", "")
	for _, object := range members {
		if strings.EqualFold(object.Text("id"), member) {
			return true, err
		}
	}
	return false, err
}

type adMemberAdd struct{ adMember }

func (m *adMemberAdd) Run(c *Call) error {
	group, member, err := m.resolve(c)
	if err != nil {
		return err
	}
	if already, err := c.isMember(group, member); err != nil || already {
		return err
	}
	base, err := c.graphBase()
	if err != nil {
		return err
	}
	_, err = c.graph(http.MethodPost, "/groups/"+segment(group)+"/members/$ref", document.New("@odata.id", base+"/directoryObjects/"+member))
	return err
}

type adMemberRemove struct{ adMember }

func (m *adMemberRemove) Run(c *Call) error {
	group, member, err := m.resolve(c)
	if err != nil {
		return err
	}
	_, err = c.graph(http.MethodDelete, "/groups/"+segment(group)+"/members/"+segment(member)+"/$ref", nil)
	return err
}

type adMemberList struct{ adGroupName }

func (m *adMemberList) Run(c *Call) error {
	group, err := c.directoryGroup(m.Group)
	if err != nil {
		return err
	}
	members, err := c.graphList("/groups/"+segment(group.Text("id"))+"/members", "")
	if err != nil {
		return err
	}
	return c.PrintColumns(members, `[].{Name:displayName, Id:id, Kind:"@odata.type"}`)
}

type adMemberCheck struct{ adMember }

func (m *adMemberCheck) Run(c *Call) error {
	group, member, err := m.resolve(c)
	if err != nil {
		return err
	}
	is, err := c.isMember(group, member)
	if err != nil {
		return err
	}
	return c.Print(document.New("value", is))
}

const applicationColumns = "[].{Name:displayName, AppId:appId, Id:id}"

type adAppGroup struct {
	Create adAppCreate `cmd:"" help:"Create an application." example:"alvara ad app create --display-name pipeline"`
	Show   adAppShow   `cmd:"" help:"Show an application." example:"alvara ad app show --id pipeline"`
	List   adAppList   `cmd:"" help:"List applications." example:"alvara ad app list -o table"`
	Delete adAppDelete `cmd:"" help:"Delete an application and its service principal." example:"alvara ad app delete --id pipeline"`
}

type adAppCreate struct {
	DisplayName string `name:"display-name" required:"" help:"Name to show."`
}

func (a *adAppCreate) Run(c *Call) error {
	made, err := c.graph(http.MethodPost, "/applications", document.New("displayName", a.DisplayName))
	if err != nil {
		return err
	}
	return c.PrintColumns(made, applicationColumns)
}

type adAppShow struct {
	ID string `name:"id" required:"" help:"Client id, object id or display name."`
}

func (a *adAppShow) Run(c *Call) error {
	found, err := c.application(a.ID)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, applicationColumns)
}

type adAppList struct {
	DisplayName string `name:"display-name" help:"Only applications whose name starts with this."`
	Filter      string `help:"OData filter."`
	All         bool   `help:"Kept for scripts; everything is listed anyway."`
}

func (a *adAppList) Run(c *Call) error {
	filter := a.Filter
	if a.DisplayName != "" {
		filter = "startswith(displayName,'" + odata(a.DisplayName) + "')"
	}
	found, err := c.graphList("/applications", filter)
	if err != nil {
		return err
	}
	return c.PrintColumns(found, applicationColumns)
}

type adAppDelete struct {
	ID string `name:"id" required:"" help:"Client id, object id or display name."`
}

func (a *adAppDelete) Run(c *Call) error {
	found, err := c.application(a.ID)
	if err != nil {
		return err
	}
	if found.Text("id") == "" {
		return fmt.Errorf("the directory gave an application without an id")
	}
	_, err = c.graph(http.MethodDelete, "/applications/"+segment(found.Text("id")), nil)
	return err
}
