package cli

import (
	"io"
	"net/http"

	"github.com/alvara-ml/alvara/cli/document"
)

const deploymentColumns = "[].{Name:name, Endpoint:endpoint_name, State:provisioning_state, Instances:instance_count, Ready:ready_instances, Model:model, Environment:environment}"

type deploymentGroup struct {
	Create  deploymentCreate `cmd:"" help:"Create a deployment: what answers an endpoint's requests. It ends when the instances are ready." example:"alvara ml online-deployment create -f blue.yml -e fraud -w ws -g rg1 --all-traffic"`
	Show    deploymentShow   `cmd:"" help:"Show a deployment." example:"alvara ml online-deployment show -n blue -e fraud -w ws -g rg1"`
	List    deploymentList   `cmd:"" help:"List the deployments of an endpoint." example:"alvara ml online-deployment list -e fraud -w ws -g rg1 -o table"`
	Update  deploymentUpdate `cmd:"" help:"Change a deployment; those that answer go on until their successors are ready." example:"alvara ml online-deployment update -f blue.yml -e fraud -w ws -g rg1 ;; alvara ml online-deployment update -n blue -e fraud -w ws -g rg1 --set instance_count=3"`
	Delete  deploymentDelete `cmd:"" help:"Delete a deployment that gets no requests." example:"alvara ml online-deployment delete -n blue -e fraud -w ws -g rg1 --yes"`
	GetLogs deploymentLogs   `cmd:"" name:"get-logs" help:"Show what a deployment wrote." example:"alvara ml online-deployment get-logs -n blue -e fraud -w ws -g rg1 --lines 100"`
}

// deploymentName names a deployment of an endpoint.
type deploymentName struct {
	Name     string `short:"n" required:"" help:"Name of the deployment."`
	Endpoint string `name:"endpoint-name" short:"e" aliases:"endpoint" required:"" help:"Endpoint."`
	inWorkspace
}

func (d *deploymentName) endpoint() *endpointName {
	return &endpointName{Name: d.Endpoint, inWorkspace: d.inWorkspace}
}

func (d *deploymentName) path(c *Call) (string, error) {
	path, err := d.endpoint().path(c)
	return path + "/deployments/" + segment(d.Name), err
}

func (d *deploymentName) get(c *Call) (*document.Object, error) {
	path, err := d.path(c)
	if err != nil {
		return nil, err
	}
	return c.arm(http.MethodGet, path, machineLearnAPI, nil)
}

// deploymentInput is what a deployment is made or changed with.
type deploymentInput struct {
	Name     string   `short:"n" help:"Name; may also stand in the file."`
	Endpoint string   `name:"endpoint-name" short:"e" aliases:"endpoint" help:"Endpoint; may also stand in the file."`
	Set      []string `sep:"none" placeholder:"PATH=VALUE" help:"Fields to set, such as instance_count=2."`
	inWorkspace
	tagFlags
	SkipScriptValidation bool `name:"skip-script-validation" help:"For scripts that say so; the script is not looked at anyhow."`
	NoWait               bool `name:"no-wait" help:"Do not wait for the end."`
}

// at names the deployment that a file and the flags are about.
func (d *deploymentInput) at(given *document.Object) (*deploymentName, error) {
	at := &deploymentName{Name: first(d.Name, given.Text("name")), Endpoint: first(d.Endpoint, given.Text("endpoint_name")), inWorkspace: d.inWorkspace}
	switch {
	case at.Name == "":
		return nil, usagef("the deployment has no name: give --name, or name in the file")
	case at.Endpoint == "":
		return nil, usagef("the deployment has no endpoint: give --endpoint-name, or endpoint_name in the file")
	}
	return at, nil
}

// put writes a deployment as a file has it; folder is where the paths in it begin.
func (d *deploymentInput) put(c *Call, at *deploymentName, given *document.Object, folder string) (*document.Object, error) {
	base, err := d.inWorkspace.path(c)
	if err != nil {
		return nil, err
	}
	path, err := at.path(c)
	if err != nil {
		return nil, err
	}
	_, endpoint, err := at.endpoint().get(c)
	if err != nil {
		return nil, err
	}
	if given.Text("type") == "" && endpoint.Text("properties", "compute") != "" {
		given.Set("type", "kubernetes")
	}
	file := jobFile{folder: folder, assets: &workspaceAssets{uploader: uploader{call: c, workspace: base}}}
	body, err := file.deployment(given)
	if err != nil {
		return nil, err
	}
	body.SetIf("location", first(given.Text("location"), endpoint.Text("location")))
	made, err := c.armFinish(http.MethodPut, path, machineLearnAPI, body, "Writing deployment "+at.Name, d.NoWait)
	if err != nil {
		return nil, err
	}
	return made, nil
}

type deploymentCreate struct {
	File       string `short:"f" type:"existingfile" required:"" help:"deployment.yml; flags win over it."`
	AllTraffic bool   `name:"all-traffic" help:"Give it all requests of the endpoint, once it is ready."`
	deploymentInput
}

func (d *deploymentCreate) Run(c *Call) error {
	if d.AllTraffic && d.NoWait {
		return usagef("--all-traffic waits until the deployment is ready, and goes without --no-wait")
	}
	given, err := readYAML(d.File)
	if err != nil {
		return err
	}
	if err := setInto(given, d.Set); err != nil {
		return err
	}
	if err := setTags(given, d.Tags); err != nil {
		return err
	}
	at, err := d.at(given)
	if err != nil {
		return err
	}
	made, err := d.put(c, at, given, folderOf(d.File))
	if err != nil {
		return err
	}
	if d.AllTraffic {
		_, endpoint, err := at.endpoint().get(c)
		if err != nil {
			return err
		}
		if _, err := at.endpoint().put(c, endpointFile(endpoint).Set("traffic", document.New(at.Name, 100)), false); err != nil {
			return err
		}
	}
	return c.PrintColumns(deploymentDocument(made), deploymentColumns)
}

type deploymentUpdate struct {
	File string `short:"f" type:"existingfile" help:"deployment.yml; what it leaves out stays."`
	deploymentInput
}

func (d *deploymentUpdate) Run(c *Call) error {
	change, folder := document.New(), "."
	if d.File != "" {
		var err error
		if change, err = readYAML(d.File); err != nil {
			return err
		}
		folder = folderOf(d.File)
	}
	if err := setTags(change, d.Tags); err != nil {
		return err
	}
	at, err := d.at(change)
	if err != nil {
		return err
	}
	if change.Len() == 0 && len(d.Set) == 0 {
		return usagef("nothing to change: give --set, --tags or a file")
	}
	found, err := at.get(c)
	if err != nil {
		return err
	}
	given := deploymentFile(found)
	for _, key := range change.Keys() {
		given.Set(key, change.Get(key))
	}
	if err := setInto(given, d.Set); err != nil {
		return err
	}
	changed, err := d.put(c, at, given, folder)
	if err != nil {
		return err
	}
	return c.PrintColumns(deploymentDocument(changed), deploymentColumns)
}

type deploymentShow struct{ deploymentName }

func (d *deploymentShow) Run(c *Call) error {
	found, err := d.get(c)
	if err != nil {
		return err
	}
	return c.PrintColumns(deploymentDocument(found), deploymentColumns)
}

type deploymentList struct {
	Endpoint string `name:"endpoint-name" short:"e" aliases:"endpoint" required:"" help:"Endpoint."`
	inWorkspace
}

func (d *deploymentList) Run(c *Call) error {
	path, err := (&endpointName{Name: d.Endpoint, inWorkspace: d.inWorkspace}).path(c)
	if err != nil {
		return err
	}
	found, err := c.armList(path+"/deployments", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	out := make([]*document.Object, len(found))
	for i, one := range found {
		out[i] = deploymentDocument(one)
	}
	return c.PrintColumns(out, deploymentColumns)
}

type deploymentDelete struct {
	deploymentName
	confirmFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (d *deploymentDelete) Run(c *Call) error {
	path, err := d.path(c)
	if err != nil {
		return err
	}
	if err := d.confirm(c, "delete the deployment "+d.Name); err != nil {
		return err
	}
	return c.deleteResource(path, machineLearnAPI, "deployment "+d.Name, d.NoWait)
}

type deploymentLogs struct {
	deploymentName
	Lines     int    `short:"l" default:"50" help:"How many of the last lines. (${default})"`
	Container string `short:"c" enum:"inference-server,storage-initializer" default:"inference-server" help:"Whose log: ${enum}."`
}

func (d *deploymentLogs) Run(c *Call) error {
	path, err := d.path(c)
	if err != nil {
		return err
	}
	container := map[string]string{"inference-server": "InferenceServer", "storage-initializer": "StorageInitializer"}[d.Container]
	found, err := c.arm(http.MethodPost, path+"/getLogs", machineLearnAPI, document.New("containerType", container, "tail", d.Lines))
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.Program.Stdout, found.Text("content"))
	return err
}
