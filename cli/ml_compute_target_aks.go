package cli

import "github.com/alvara-ml/alvara/cli/document"

type aksTargetCreate struct {
	Name           string `short:"n" required:"" help:"Name."`
	AgentCount     int    `name:"agent-count" short:"a" default:"3" help:"Nodes. (${default})"`
	VMSize         string `name:"vm-size" short:"s" help:"Size of the nodes."`
	ClusterPurpose string `name:"cluster-purpose" help:"FastProd, DenseProd or DevTest."`
	Location       string `short:"l" help:"Location; without it that of the workspace."`
	Description    string `short:"d" help:"What the cluster is for."`
	inWorkspace
	tagFlags
}

func (a *aksTargetCreate) Run(c *Call) error {
	inner := document.New("agentCount", a.AgentCount).SetIf("agentVmSize", a.VMSize)
	return c.putAKS(a.inWorkspace, a.Name, document.New().SetIf("description", a.Description).SetIf("computeLocation", a.Location), inner, a.ClusterPurpose, a.Tags, a.Location)
}

type targetAttachGroup struct {
	Aks aksTargetAttach `cmd:"" help:"Attach a cluster that there is; its service principal gets AcrPull on the workspace's registry." example:"alvara ml computetarget attach aks -n inference -w ws -g rg1 --compute-resource-id /subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/inference"`
}

type aksTargetAttach struct {
	Name              string `short:"n" required:"" help:"Name."`
	ComputeResourceID string `name:"compute-resource-id" short:"i" aliases:"resource-id" required:"" placeholder:"ID" help:"Id of the cluster, which works as a service principal."`
	ClusterPurpose    string `name:"cluster-purpose" help:"FastProd, DenseProd or DevTest."`
	Description       string `short:"d" help:"What the cluster is for."`
	inWorkspace
	tagFlags
}

func (a *aksTargetAttach) Run(c *Call) error {
	properties := document.New("resourceId", a.ComputeResourceID).SetIf("description", a.Description)
	return c.putAKS(a.inWorkspace, a.Name, properties, document.New(), a.ClusterPurpose, a.Tags, "")
}

// putAKS writes a compute of the type AKS and prints it in the older words.
func (c *Call) putAKS(in inWorkspace, name string, properties, inner *document.Object, purpose string, pairs []string, location string) error {
	tags, err := tagsOf(pairs)
	if err != nil {
		return err
	}
	properties.Set("computeType", "AKS").SetIf("properties", inner.SetIf("clusterPurpose", purpose))
	body := document.New("properties", properties).SetIf("location", location).SetIf("tags", tags)
	made, err := c.putCompute(in, name, body, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(targetDocument(made), targetColumns)
}

type targetDetach struct{ computeShow }

func (t *targetDetach) Run(c *Call) error { return c.removeCompute(t.computeShow, "Detach", false) }
