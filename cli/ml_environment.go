package cli

import (
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/alvara-ml/alvara/cli/document"
)

const environmentColumns = "[].{Name:name, Version:version, LatestVersion:latest_version, Image:image, Stage:stage, Description:description}"

type environmentGroup struct {
	Create  environmentCreate  `cmd:"" help:"Create a version of an environment: an image as it is, an image with a conda file, or a Dockerfile's folder." example:"alvara ml environment create -n train -v 1 --image fraudacr.azurecr.io/base/train:1 -w ws -g rg1 ;; alvara ml environment create -f environment.yaml -w ws -g rg1"`
	Build   environmentBuild   `cmd:"" help:"Build the image of a version, unless its content has been built." example:"alvara ml environment build -n train -v 1 -w ws -g rg1 ;; alvara ml environment build -n train -l latest -w ws -g rg1 --no-wait"`
	Show    environmentShow    `cmd:"" help:"Show a version of an environment." example:"alvara ml environment show -n train -l latest -w ws -g rg1"`
	List    environmentList    `cmd:"" help:"List environments, or the versions of one." example:"alvara ml environment list -w ws -g rg1 -o table"`
	Update  environmentUpdate  `cmd:"" help:"Change stage, description or tags of a version." example:"alvara ml environment update -n train -v 1 --description 'For the fraud model' -w ws -g rg1"`
	Archive environmentArchive `cmd:"" help:"Hide an environment, or a version of one, from lists." example:"alvara ml environment archive -n train -v 1 -w ws -g rg1"`
	Restore environmentRestore `cmd:"" help:"Bring an archived one back." example:"alvara ml environment restore -n train -v 1 -w ws -g rg1"`
}

// environmentName names an environment, and perhaps one of its versions.
type environmentName struct{ versionName }

func (e *environmentName) version(c *Call) (string, error) { return e.versionIn(c, "environments") }

// environmentDocument is a version as the files have it.
func environmentDocument(version *document.Object) *document.Object {
	if version == nil {
		return nil
	}
	name, number := nameAndVersion(version)
	p := version.Object("properties")
	out := document.New("name", name, "version", number, "id", version.Get("id"), "description", p.Get("description"), "tags", p.Get("tags"), "stage", p.Get("stage"),
		"os_type", inFile(p.Text("osType")))
	out.SetIf("image", p.Text("image")).SetIf("conda_file", p.Text("condaFile"))
	if managed := p.Get("userManagedDependencies"); managed != nil {
		out.Set("user_managed_dependencies", managed)
	}
	if build := p.Object("build"); build != nil {
		out.Set("build", document.New("path", build.Get("contextUri"), "dockerfile_path", build.Get("dockerfilePath")))
	}
	if inference := p.Object("inferenceConfig"); inference != nil {
		shown := document.New()
		for _, name := range inference.Keys() {
			shown.Set(snake(name), inference.Get(name))
		}
		out.Set("inference_config", shown)
	}
	for _, part := range []string{"registryIdentity", "imageBuild"} {
		if object := p.Object(part); object != nil {
			shown := document.New()
			for _, name := range object.Keys() {
				shown.Set(snake(name), object.Get(name))
			}
			out.Set(snake(part), shown)
		}
	}
	return out.Set("is_archived", p.Get("isArchived")).Set("provisioning_state", p.Get("provisioningState")).Set("creation_context", creation(version))
}

type environmentCreate struct {
	Name           string `short:"n" help:"Name; may also stand in the file."`
	Version        string `short:"v" help:"Version; without it the next one."`
	File           string `short:"f" type:"existingfile" help:"environment.yaml; flags win over it."`
	Image          string `short:"i" help:"The image."`
	CondaFile      string `name:"conda-file" short:"c" type:"existingfile" help:"Conda file whose packages come on top of the image."`
	BuildContext   string `name:"build-context" short:"b" placeholder:"FOLDER" help:"Folder of the Dockerfile, on this machine or the URL of one in a storage container."`
	DockerfilePath string `name:"dockerfile-path" help:"The Dockerfile in that folder."`
	Description    string `short:"d" help:"What the environment is for."`
	inWorkspace
	tagFlags
}

func (e *environmentCreate) Run(c *Call) error {
	base, err := e.inWorkspace.path(c)
	if err != nil {
		return err
	}
	properties, err := e.read(&workspaceAssets{uploader: uploader{call: c, workspace: base}})
	if err != nil {
		return err
	}
	path := base + "/environments/" + segment(e.Name)
	if e.Version == "" {
		found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
		if err != nil && !missing(err) {
			return err
		}
		e.Version = first(found.Text("properties", "nextVersion"), "1")
	}
	made, err := c.armFinish(http.MethodPut, path+"/versions/"+segment(e.Version), machineLearnAPI, document.New("properties", properties), "Creating environment "+e.Name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(environmentDocument(made), environmentColumns)
}

// read gives the properties of the version: the file's, with the flags over them. A Dockerfile's folder on this machine is uploaded.
func (e *environmentCreate) read(assets assetsOf) (*document.Object, error) {
	given, folder := document.New(), "."
	if e.File != "" {
		var err error
		folder = filepath.Dir(e.File)
		if given, err = readFile(e.File, append([]string{"name", "version"}, environmentFields...)...); err != nil {
			return nil, err
		}
	}
	e.Name, e.Version = first(e.Name, given.Text("name")), first(e.Version, given.Text("version"))
	if e.Name == "" {
		return nil, usagef("the environment has no name: give --name, or name in the file")
	}
	tags, err := tagsOf(e.Tags)
	if err != nil {
		return nil, err
	}
	if tags != nil {
		given.Set("tags", tags)
	}
	given.SetIf("image", e.Image).SetIf("description", e.Description)
	if e.CondaFile != "" {
		file, err := filepath.Abs(e.CondaFile)
		if err != nil {
			return nil, err
		}
		given.Set("conda_file", file)
	}
	if e.BuildContext != "" {
		context := e.BuildContext
		if localPath(context) {
			if context, err = filepath.Abs(context); err != nil {
				return nil, err
			}
		}
		given.Set("build", document.New("path", context).SetIf("dockerfile_path", given.Text("build", "dockerfile_path")))
	}
	if build := given.Object("build"); build != nil {
		build.SetIf("dockerfile_path", e.DockerfilePath)
	}
	return environmentProperties("the environment", given, folder, assets)
}

type environmentShow struct{ environmentName }

func (e *environmentShow) Run(c *Call) error {
	path, err := e.version(c)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(environmentDocument(found), environmentColumns)
}

type environmentList struct {
	Name string `short:"n" help:"List the versions of this one."`
	inWorkspace
	viewFlags
}

func (e *environmentList) Run(c *Call) error {
	path, err := e.inWorkspace.path(c)
	if err != nil {
		return err
	}
	path, shape := path+"/environments", containerDocument
	if e.Name != "" {
		path, shape = path+"/"+segment(e.Name)+"/versions", environmentDocument
	}
	found, err := c.armList(path, machineLearnAPI, url.Values{"listViewType": {e.viewType()}})
	if err != nil {
		return err
	}
	out := make([]*document.Object, len(found))
	for i, object := range found {
		out[i] = shape(object)
	}
	return c.PrintColumns(out, environmentColumns)
}

type environmentUpdate struct {
	environmentName
	assetChange
}

func (e *environmentUpdate) Run(c *Call) error {
	path, err := e.version(c)
	if err != nil {
		return err
	}
	properties := document.New()
	if err := e.apply(properties); err != nil {
		return err
	}
	if properties.Len() == 0 {
		return usagef("nothing to change: give --stage, --description or --tags")
	}
	changed, err := c.armFinish(http.MethodPatch, path, machineLearnAPI, document.New("properties", properties), "Updating environment "+e.Name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(environmentDocument(changed), environmentColumns)
}

type environmentArchive struct{ environmentName }

func (e *environmentArchive) Run(c *Call) error { return e.archive(c, "environments", true) }

type environmentRestore struct{ environmentName }

func (e *environmentRestore) Run(c *Call) error { return e.archive(c, "environments", false) }
