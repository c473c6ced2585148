package cli

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/featurestore/spec"
)

const assetColumns = "[].{Name:name, Version:version, LatestVersion:latest_version, Stage:stage, Description:description}"

type entityGroup struct {
	Create  entityCreate  `cmd:"" help:"Create a version of an entity." example:"alvara ml feature-store-entity create -f account.yaml --feature-store fs -g rg1"`
	Show    entityShow    `cmd:"" help:"Show a version of an entity." example:"alvara ml feature-store-entity show -n account -v 1 --feature-store fs -g rg1"`
	List    entityList    `cmd:"" help:"List entities, or the versions of one." example:"alvara ml feature-store-entity list --feature-store fs -g rg1 -o table"`
	Update  entityUpdate  `cmd:"" help:"Change stage, description or tags of a version." example:"alvara ml feature-store-entity update -n account -v 1 --stage Production --feature-store fs -g rg1"`
	Archive entityArchive `cmd:"" help:"Hide a version from lists." example:"alvara ml feature-store-entity archive -n account -v 1 --feature-store fs -g rg1"`
	Restore entityRestore `cmd:"" help:"Bring an archived version back." example:"alvara ml feature-store-entity restore -n account -v 1 --feature-store fs -g rg1"`
}

// asset names one version of an entity or a feature set.
type assetFlags struct {
	Name    string `short:"n" required:"" help:"Name."`
	Version string `short:"v" required:"" help:"Version."`
	storeFlags
}

func (a assetFlags) path(c *Call, collection string) (string, error) {
	store, err := a.storeFlags.path(c)
	return store + "/" + collection + "/" + segment(a.Name) + "/versions/" + segment(a.Version), err
}

const (
	entities    = "featurestoreEntities"
	featureSets = "featuresets"
)

// entityDocument is an entity as az prints it. path is the id: the wire has name and version in it.
func entityDocument(version *document.Object) *document.Object {
	name, number := nameAndVersion(version)
	p := version.Object("properties")
	columns := []any{}
	for _, column := range p.Objects("indexColumns") {
		columns = append(columns, document.New("name", column.Get("columnName"), "type", strings.ToLower(column.Text("dataType"))))
	}
	return document.New("name", name, "version", number, "description", p.Get("description"), "stage", p.Get("stage"),
		"index_columns", columns, "tags", p.Get("tags"), "is_archived", p.Get("isArchived"), "provisioning_state", p.Get("provisioningState"),
		"id", version.Get("id"), "creation_context", creation(version))
}

// nameAndVersion reads both from the id …/{name}/versions/{version}.
func nameAndVersion(version *document.Object) (name, number string) {
	parts := strings.Split(version.Text("id"), "/")
	if n := len(parts); n >= 3 && strings.EqualFold(parts[n-2], "versions") {
		return parts[n-3], parts[n-1]
	}
	return version.Text("name"), ""
}

// containerDocument is the line of a list that shows each name once.
func containerDocument(container *document.Object) *document.Object {
	p := container.Object("properties")
	return document.New("name", container.Get("name"), "latest_version", p.Get("latestVersion"), "description", p.Get("description"),
		"tags", p.Get("tags"), "is_archived", p.Get("isArchived"), "id", container.Get("id"), "creation_context", creation(container))
}

// wireType is a column type as the wire writes it: string becomes String.
func wireType(t spec.ColumnType) string { return strings.ToUpper(string(t)[:1]) + string(t)[1:] }

type entityCreate struct {
	File    string `short:"f" type:"existingfile" required:"" help:"entity.yaml."`
	Name    string `short:"n" help:"Name, in place of the file's."`
	Version string `short:"v" help:"Version, in place of the file's."`
	storeFlags
}

func (e *entityCreate) Run(c *Call) error {
	text, err := os.ReadFile(e.File)
	if err != nil {
		return err
	}
	given, err := spec.ParseEntity(filepath.Base(e.File), text)
	if err != nil {
		return err
	}
	at := assetFlags{Name: first(e.Name, given.Name), Version: first(e.Version, given.Version), storeFlags: e.storeFlags}
	path, err := at.path(c, entities)
	if err != nil {
		return err
	}
	columns := []any{}
	for _, column := range given.IndexColumns {
		columns = append(columns, document.New("columnName", column.Name, "dataType", wireType(column.Type)))
	}
	properties := document.New("indexColumns", columns, "stage", string(given.Stage)).SetIf("description", given.Description).SetIf("tags", tagsDocument(given.Tags))
	made, err := c.armFinish(http.MethodPut, path, machineLearnAPI, document.New("properties", properties), "Creating entity "+at.Name, false)
	if err != nil {
		return err
	}
	return c.PrintColumns(entityDocument(made), assetColumns)
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

type entityShow struct{ assetFlags }

func (e *entityShow) Run(c *Call) error { return c.showAsset(e.assetFlags, entities, entityDocument) }

func (c *Call) showAsset(at assetFlags, collection string, shape func(*document.Object) *document.Object) error {
	path, err := at.path(c, collection)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(shape(found), assetColumns)
}

type assetList struct {
	Name string `short:"n" help:"List the versions of this one."`
	storeFlags
	viewFlags
}

func (l assetList) run(c *Call, collection string, shape func(*document.Object) *document.Object) error {
	path, err := l.path(c)
	if err != nil {
		return err
	}
	path += "/" + collection
	query := url.Values{"listViewType": {l.viewType()}}
	if l.Name != "" {
		path += "/" + segment(l.Name) + "/versions"
	} else {
		shape = containerDocument
	}
	found, err := c.armList(path, machineLearnAPI, query)
	if err != nil {
		return err
	}
	out := make([]*document.Object, len(found))
	for i, object := range found {
		out[i] = shape(object)
	}
	return c.PrintColumns(out, assetColumns)
}

type entityList struct{ assetList }

func (e *entityList) Run(c *Call) error { return e.run(c, entities, entityDocument) }

// assetChange is what may change in a version once it is there.
type assetChange struct {
	Stage       string `enum:",Development,Production,Archived" default:"" help:"Development, Production or Archived."`
	Description string `help:"New description."`
	tagFlags
}

func (a assetChange) apply(properties *document.Object) error {
	tags, err := tagsOf(a.Tags)
	if err != nil {
		return err
	}
	if a.Tags != nil {
		properties.Set("tags", tags)
	}
	if a.Stage != "" {
		properties.Set("isArchived", a.Stage == string(spec.Archived))
	}
	properties.SetIf("stage", a.Stage).SetIf("description", a.Description)
	return nil
}

type entityUpdate struct {
	assetFlags
	assetChange
}

func (e *entityUpdate) Run(c *Call) error {
	changed, err := c.changeAsset(e.assetFlags, entities, e.apply)
	if err != nil {
		return err
	}
	return c.PrintColumns(entityDocument(changed), assetColumns)
}

// changeAsset reads a version, lets change work on its properties and writes it back under its ETag, so that two
// changes at the same time do not overwrite each other.
func (c *Call) changeAsset(at assetFlags, collection string, change func(properties *document.Object) error) (*document.Object, error) {
	path, err := at.path(c, collection)
	if err != nil {
		return nil, err
	}
	response, err := c.armResponse(http.MethodGet, path, machineLearnAPI, nil)
	if err != nil {
		return nil, err
	}
	found, err := response.Object()
	if err != nil {
		return nil, err
	}
	properties := found.Object("properties").Clone()
	properties.Delete("provisioningState")
	if err := change(properties); err != nil {
		return nil, err
	}
	return c.armFinishMatch(path, document.New("properties", properties), response.Header.Get("ETag"), "Updating "+at.Name+":"+at.Version)
}

type entityArchive struct{ assetFlags }

func (e *entityArchive) Run(c *Call) error { return c.archive(e.assetFlags, entities, true) }

type entityRestore struct{ assetFlags }

func (e *entityRestore) Run(c *Call) error { return c.archive(e.assetFlags, entities, false) }

func (c *Call) archive(at assetFlags, collection string, archived bool) error {
	_, err := c.changeAsset(at, collection, func(properties *document.Object) error {
		properties.Set("isArchived", archived)
		properties.Set("stage", string(spec.Archived))
		if !archived {
			properties.Set("stage", string(spec.Development))
		}
		return nil
	})
	return err
}
