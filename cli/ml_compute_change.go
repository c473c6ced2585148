package cli

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

type computeUpdate struct {
	computeShow
	Description string `short:"d" help:"What the compute is for."`
	scaleFlags
	computeIdentityFlags
	tagFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (f *computeUpdate) Run(c *Call) error {
	inner := document.New()
	f.apply(inner)
	properties := document.New().SetIf("description", f.Description).SetIf("properties", inner)
	identity, err := f.read(c, f.ResourceGroup)
	if err != nil {
		return err
	}
	tags, err := tagsOf(f.Tags)
	if err != nil {
		return err
	}
	body := document.New().SetIf("identity", identity).SetIf("properties", properties)
	if tags != nil {
		body.Set("tags", tags)
	}
	if body.Len() == 0 {
		return usagef("nothing to change: give --min-instances, --max-instances, --idle-time-before-scale-down, --identity-type, --user-assigned-identities, --description or --tags")
	}
	if identity != nil {
		found, err := f.get(c)
		if err != nil {
			return err
		}
		c.warnReplacedIdentity(f.Name, found, identity)
	}
	changed, err := c.patchCompute(f.computeShow, body, f.NoWait)
	if err != nil {
		return err
	}
	return c.PrintColumns(computeDocument(changed), computeColumns)
}

// warnReplacedIdentity says which identities of a compute go when it gets these ones.
func (c *Call) warnReplacedIdentity(name string, found, wanted *document.Object) {
	had, next := found.Text("identity", "type"), wanted.Text("type")
	if strings.Contains(had, "SystemAssigned") && !strings.Contains(next, "SystemAssigned") {
		c.Warn("the system-assigned identity of %s is replaced; what it was granted ends with it", name)
	}
	if !strings.Contains(next, "UserAssigned") {
		for _, id := range found.Object("identity", "userAssignedIdentities").Keys() {
			c.Warn("the identity %s is replaced", id)
		}
	}
}

func (c *Call) patchCompute(at computeShow, body *document.Object, noWait bool) (*document.Object, error) {
	path, err := at.compute(c, at.Name)
	if err != nil {
		return nil, err
	}
	changed, err := c.armFinish(http.MethodPatch, path, machineLearnAPI, body, "Updating compute "+at.Name, noWait)
	if err != nil {
		return nil, err
	}
	c.warnMissingGrants("compute", changed)
	return changed, nil
}

type computeDelete struct {
	computeShow
	confirmFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (f *computeDelete) Run(c *Call) error {
	if err := f.confirm(c, "delete the compute "+f.Name); err != nil {
		return err
	}
	return c.removeCompute(f.computeShow, "Delete", f.NoWait)
}

type computeDetach struct {
	computeShow
	confirmFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (f *computeDetach) Run(c *Call) error {
	if err := f.confirm(c, "detach "+f.Name); err != nil {
		return err
	}
	return c.removeCompute(f.computeShow, "Detach", f.NoWait)
}

// removeCompute deletes a compute, or detaches it; one that is not there is success.
func (c *Call) removeCompute(at computeShow, action string, noWait bool) error {
	path, err := at.compute(c, at.Name)
	if err != nil {
		return err
	}
	request, err := c.armRequest(http.MethodDelete, path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	request.Query = url.Values{"api-version": {machineLearnAPI}, "underlyingResourceAction": {action}}
	_, err = c.client.Do(c.ctx, request)
	if missing(err) {
		return nil
	}
	return err
}

type computeAttach struct {
	Name       string `short:"n" help:"Name; may also stand in the file."`
	File       string `short:"f" type:"existingfile" help:"compute.yaml; flags win over it."`
	Type       string `short:"t" help:"Kubernetes, or AKS."`
	ResourceID string `name:"resource-id" placeholder:"ID" help:"Id of the cluster."`
	Namespace  string `help:"Namespace of the cluster for jobs."`
	computeIdentityFlags
	inWorkspace
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (f *computeAttach) Run(c *Call) error {
	given := document.New()
	if f.File != "" {
		var err error
		if given, err = readYAML(f.File); err != nil {
			return err
		}
		given.SetIf("type", f.Type)
		if err := typeOfFile(given, "kubernetes or aks was expected. Spark pools and virtual machines are not offered, and clusters of the workspace's own are made: `alvara ml compute create -f FILE`", "kubernetes", "aks"); err != nil {
			return err
		}
		if err := knownFields(filepath.Base(f.File), given, "name", "type", "resource_id", "namespace", "identity", "description", "tags"); err != nil {
			return err
		}
	}
	given.SetIf("name", f.Name).SetIf("type", f.Type).SetIf("resource_id", f.ResourceID).SetIf("namespace", f.Namespace)
	if f.Name = given.Text("name"); f.Name == "" {
		return usagef("the compute has no name: give --name, or name in the file")
	}
	identity, err := identityOfFile(given.Object("identity"))
	if err != nil {
		return err
	}
	if over, err := f.read(c, f.ResourceGroup); err != nil {
		return err
	} else if over != nil {
		identity = over
	}
	properties := document.New("computeType", first(given.Text("type"), "Kubernetes"), "resourceId", given.Text("resource_id"),
		"properties", document.New().SetIf("namespace", given.Text("namespace"))).SetIf("description", given.Text("description"))
	made, err := c.putCompute(f.inWorkspace, f.Name, document.New("properties", properties).SetIf("identity", identity).SetIf("tags", given.Object("tags")), f.NoWait)
	if err != nil {
		return err
	}
	return c.PrintColumns(computeDocument(made), computeColumns)
}
