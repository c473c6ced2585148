package cli

import (
	"net/http"
	"net/url"

	"github.com/alvara-ml/alvara/cli/document"
)

const contentColumns = "[].{Name:name, Version:version, LatestVersion:latest_version, Type:type, Path:path, Description:description}"

type modelGroup struct {
	Create   modelCreate   `cmd:"" help:"Register a version of a model: a file or a folder of this machine, of a job, or of a storage container." example:"alvara ml model create -n fraud -p ./model -w ws -g rg1 ;; alvara ml model create -n fraud -p azureml://jobs/5e1c2f0e/outputs/model -w ws -g rg1"`
	Show     modelShow     `cmd:"" help:"Show a version of a model." example:"alvara ml model show -n fraud -l latest -w ws -g rg1"`
	List     modelList     `cmd:"" help:"List models, or the versions of one." example:"alvara ml model list -w ws -g rg1 -o table"`
	Update   modelUpdate   `cmd:"" help:"Change stage, description or tags of a version." example:"alvara ml model update -n fraud -v 1 --stage Production -w ws -g rg1"`
	Download modelDownload `cmd:"" help:"Download a version of a model." example:"alvara ml model download -n fraud -v 1 --download-path ./models -w ws -g rg1"`
	Archive  modelArchive  `cmd:"" help:"Hide a model, or a version of it, from lists." example:"alvara ml model archive -n fraud -v 1 -w ws -g rg1"`
	Restore  modelRestore  `cmd:"" help:"Bring an archived one back." example:"alvara ml model restore -n fraud -v 1 -w ws -g rg1"`
}

type dataGroup struct {
	Create  dataCreate  `cmd:"" help:"Register a version of data: a file or a folder of this machine, of a job, or of a storage container." example:"alvara ml data create -n tx -p ./tx.csv --type uri_file -w ws -g rg1 ;; alvara ml data create -f data.yml -w ws -g rg1"`
	Show    dataShow    `cmd:"" help:"Show a version of data." example:"alvara ml data show -n tx -l latest -w ws -g rg1"`
	List    dataList    `cmd:"" help:"List data, or the versions of one." example:"alvara ml data list -w ws -g rg1 -o table"`
	Update  dataUpdate  `cmd:"" help:"Change stage, description or tags of a version." example:"alvara ml data update -n tx -v 1 --description 'Card transactions' -w ws -g rg1"`
	Archive dataArchive `cmd:"" help:"Hide data, or a version of it, from lists." example:"alvara ml data archive -n tx -v 1 -w ws -g rg1"`
	Restore dataRestore `cmd:"" help:"Bring archived data back." example:"alvara ml data restore -n tx -v 1 -w ws -g rg1"`
}

// contentCreate is what a version of a model or of data is made with.
type contentCreate struct {
	Name        string   `short:"n" help:"Name; may also stand in the file."`
	Version     string   `short:"v" help:"Version; without it the next one."`
	File        string   `short:"f" type:"existingfile" help:"YAML file; flags win over it."`
	Path        string   `short:"p" help:"A file or a folder of this machine, or a URI."`
	Type        string   `short:"t" help:"custom_model, mlflow_model or triton_model for models; uri_folder, uri_file or mltable for data."`
	Description string   `short:"d" help:"What it is for."`
	Set         []string `sep:"none" placeholder:"PATH=VALUE" help:"Fields of the file to set."`
	inWorkspace
	tagFlags
}

func (m *contentCreate) create(c *Call, kind assetKind) error {
	given := document.New()
	if m.File != "" {
		var err error
		if given, err = readYAML(m.File); err != nil {
			return err
		}
	}
	if err := setInto(given, m.Set); err != nil {
		return err
	}
	folder := folderOf(m.File)
	if m.Path != "" {
		folder = "." // of the flag, which wins over the file
	}
	given.SetIf("path", m.Path).SetIf("type", m.Type).SetIf("description", m.Description)
	if err := setTags(given, m.Tags); err != nil {
		return err
	}
	name, version := first(m.Name, given.Text("name")), first(m.Version, given.Text("version"))
	if name == "" {
		return usagef("the %s has no name: give --name, or name in the file", kind.word)
	}
	base, err := m.inWorkspace.path(c)
	if err != nil {
		return err
	}
	file := jobFile{folder: folder, assets: &workspaceAssets{uploader: uploader{call: c, workspace: base}}}
	properties, err := file.asset(kind, "the "+kind.word, given)
	if err != nil {
		return err
	}
	path := base + "/" + kind.collection + "/" + segment(name)
	if version == "" {
		if version, err = c.nextVersion(path); err != nil {
			return err
		}
	}
	made, err := c.armFinish(http.MethodPut, path+"/versions/"+segment(version), machineLearnAPI, document.New("properties", properties), "Registering "+name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(kind.document(made), contentColumns)
}

func (v *versionName) show(c *Call, kind assetKind) error {
	path, err := v.versionIn(c, kind.collection)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(kind.document(found), contentColumns)
}

// contentList names what to list.
type contentList struct {
	Name string `short:"n" help:"List the versions of this one."`
	inWorkspace
	viewFlags
}

func (l *contentList) list(c *Call, kind assetKind) error {
	path, err := l.inWorkspace.path(c)
	if err != nil {
		return err
	}
	path, shape := path+"/"+kind.collection, containerDocument
	if l.Name != "" {
		path, shape = path+"/"+segment(l.Name)+"/versions", kind.document
	}
	found, err := c.armList(path, machineLearnAPI, url.Values{"listViewType": {l.viewType()}})
	if err != nil {
		return err
	}
	out := make([]*document.Object, len(found))
	for i, object := range found {
		out[i] = shape(object)
	}
	return c.PrintColumns(out, contentColumns)
}

// contentUpdate is what may change of a version.
type contentUpdate struct {
	versionName
	assetChange
}

func (u *contentUpdate) update(c *Call, kind assetKind) error {
	path, err := u.versionIn(c, kind.collection)
	if err != nil {
		return err
	}
	properties := document.New()
	if err := u.apply(properties); err != nil {
		return err
	}
	if properties.Len() == 0 {
		return usagef("nothing to change: give --stage, --description or --tags")
	}
	changed, err := c.armFinish(http.MethodPatch, path, machineLearnAPI, document.New("properties", properties), "Updating "+u.Name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(kind.document(changed), contentColumns)
}

type modelDownload struct {
	versionName
	DownloadPath string `name:"download-path" short:"p" default:"." help:"Folder to write into; the model is in a folder of its name there. (${default})"`
}

func (m *modelDownload) Run(c *Call) error {
	path, err := m.versionIn(c, modelAssets.collection)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	workspace, err := m.inWorkspace.path(c)
	if err != nil {
		return err
	}
	return c.downloadURI(workspace, found.Text("properties", "modelUri"), m.DownloadPath, m.Name)
}

type (
	modelCreate  struct{ contentCreate }
	modelShow    struct{ versionName }
	modelList    struct{ contentList }
	modelUpdate  struct{ contentUpdate }
	modelArchive struct{ versionName }
	modelRestore struct{ versionName }
	dataCreate   struct{ contentCreate }
	dataShow     struct{ versionName }
	dataList     struct{ contentList }
	dataUpdate   struct{ contentUpdate }
	dataArchive  struct{ versionName }
	dataRestore  struct{ versionName }
)

func (m *modelCreate) Run(c *Call) error  { return m.create(c, modelAssets) }
func (m *modelShow) Run(c *Call) error    { return m.show(c, modelAssets) }
func (m *modelList) Run(c *Call) error    { return m.list(c, modelAssets) }
func (m *modelUpdate) Run(c *Call) error  { return m.update(c, modelAssets) }
func (m *modelArchive) Run(c *Call) error { return m.archive(c, modelAssets.collection, true) }
func (m *modelRestore) Run(c *Call) error { return m.archive(c, modelAssets.collection, false) }
func (d *dataCreate) Run(c *Call) error   { return d.create(c, dataAssets) }
func (d *dataShow) Run(c *Call) error     { return d.show(c, dataAssets) }
func (d *dataList) Run(c *Call) error     { return d.list(c, dataAssets) }
func (d *dataUpdate) Run(c *Call) error   { return d.update(c, dataAssets) }
func (d *dataArchive) Run(c *Call) error  { return d.archive(c, dataAssets.collection, true) }
func (d *dataRestore) Run(c *Call) error  { return d.archive(c, dataAssets.collection, false) }
