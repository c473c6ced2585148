package machinelearning

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// place is where something lies in storage: a file, or a folder and what is below it.
type place struct {
	Account, Container string
	Path               string // without slashes at its ends; "" is the whole container
	// Folder is set where the text says so: by its asset's type, or by a slash at its end. Deps.settleFolder looks.
	Folder bool
	// Kind is the type of the asset: uri_file, uri_folder, mltable, custom_model, mlflow_model, triton_model or code; "" for a URI.
	Kind string
	// Asset is the version whose place it is; the root for a URI.
	Asset resource.ID
}

// below is the path of a file in the folder.
func (p place) below(name string) string {
	if p.Path == "" {
		return name
	}
	return p.Path + "/" + name
}

// file is the place as an order has it, under a name.
func (p place) file(name string) workload.File {
	return workload.File{Name: name, Account: p.Account, Container: p.Container, Path: p.Path, Folder: p.Folder}
}

// settleFolder finds out, as somebody, whether the place is a folder, unless that is known. Forbidden when the one may not list
// the container.
func (d Deps) settleFolder(ctx context.Context, who identity.Principal, p *place) error {
	if p.Folder || p.Kind == uriFile {
		return nil
	}
	names, err := d.List(ctx, who, p.Account, p.Container, p.Path+"/")
	p.Folder = len(names) > 0
	return err
}

// latest is the word for the newest version of an asset.
const latest = "latest"

// kindCode is what places of code are.
const kindCode = "code"

// resolveAsset gives the place that a text names in a workspace:
//
//	azureml:NAME:VERSION, azureml:NAME@latest   a version of an asset of one of the types, by default data, models, codes
//	azureml:/subscriptions/…, /subscriptions/…  the id of a version of code, data or a model
//	azureml://datastores/NAME/paths/PATH        and the long form, with the workspace in front
//	azureml://jobs/NAME/outputs/NAME            what a job has written, or outputs/artifacts/paths/PATH
//	https, wasbs, abfss                         the URL of a file or a folder, public or this server's own
//
// Assets and jobs are read as the caller. What the place holds is not looked at. Errors: Invalid for what is none of these,
// NotFound, Forbidden for an asset that the caller may not read.
func (d Deps) resolveAsset(ctx context.Context, call *arm.Call, workspace resource.ID, text string, types ...resource.Type) (place, error) {
	const deepest = 4 // an asset of an asset of a job's output
	if len(types) == 0 {
		types = []resource.Type{dataType, modelType, codeType}
	}
	var found place
	for range deepest {
		id, err := assetNamed(ctx, call, workspace, text, types)
		if err != nil {
			return place{}, err
		}
		if id.IsRoot() {
			at, err := uriPlace(ctx, call, workspace, text)
			if err != nil {
				return place{}, err
			}
			if found.Asset.IsRoot() {
				return at, nil
			}
			at.Kind, at.Asset = found.Kind, found.Asset
			at.Folder = at.Folder || at.Kind != uriFile && at.Kind != customModel
			return at, nil
		}
		kind, next, err := contentOf(ctx, call, id)
		if err != nil {
			return place{}, err
		}
		if found.Asset.IsRoot() {
			found.Kind, found.Asset = kind, id
		}
		text = next
	}
	return place{}, resource.Invalidf("InvalidAsset", "'%s' names another asset, which names another, and so on; name the place itself", found.Asset)
}

// contentOf reads a version of an asset as the caller.
func contentOf(ctx context.Context, call *arm.Call, id resource.ID) (kind, uri string, err error) {
	shown, err := call.Manager.Do(ctx, call, call.Who, "GET", id.String(), nil)
	if err != nil {
		return "", "", err
	}
	properties, _ := shown["properties"].(map[string]any)
	of := func(field string) string { text, _ := properties[field].(string); return text }
	switch t := id.Type(); {
	case t.Is(codeVersionType):
		return kindCode, of("codeUri"), nil
	case t.Is(dataVersionType):
		return of("dataType"), of("dataUri"), nil
	default:
		return of("modelType"), of("modelUri"), nil
	}
}

// assetNamed reads the names of assets; the root is for texts that are none.
func assetNamed(ctx context.Context, call *arm.Call, workspace resource.ID, text string, types []resource.Type) (resource.ID, error) {
	rest, prefixed := cutFold(text, "azureml:")
	switch {
	case prefixed && strings.HasPrefix(rest, "//"):
		return resource.Root, nil
	case strings.HasPrefix(rest, "/"):
		return assetID(workspace, text, rest)
	case !prefixed:
		return resource.Root, nil
	}
	name, version, versioned := strings.Cut(rest, ":")
	if !versioned {
		var label string
		if name, label, versioned = strings.Cut(rest, "@"); !versioned || !strings.EqualFold(label, latest) {
			return resource.Root, resource.Invalidf("InvalidAsset", "%q names no version; azureml:NAME:VERSION or azureml:NAME@latest was expected", text)
		}
	}
	if !assetName.MatchString(name) || version != "" && !assetVersion.MatchString(version) {
		return resource.Root, resource.Invalidf("InvalidAsset", "%q is no name of an asset; azureml:NAME:VERSION or azureml:NAME@latest was expected", text)
	}
	words := make([]string, 0, len(types))
	for _, t := range types {
		container := workspace.Child(lastWord(t), name)
		id, err := versionIn(ctx, call, container, version)
		if err != nil || !id.IsRoot() {
			return id, err
		}
		words = append(words, lastWord(t))
	}
	if version == "" {
		version = latest
	}
	return resource.Root, resource.NotFoundf("AssetNotFound", "The workspace %s has no version %s of %q among its %s.", workspace.Name(), version, name, strings.Join(words, ", "))
}

func lastWord(t resource.Type) string { return string(t)[strings.LastIndex(string(t), "/")+1:] }

func cutFold(text, prefix string) (string, bool) {
	if len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix) {
		return text[len(prefix):], true
	}
	return text, false
}

// assetID reads the id of a version.
func assetID(workspace resource.ID, text, rest string) (resource.ID, error) {
	id, err := resource.ParseID(rest)
	if err != nil {
		return resource.Root, resource.Invalidf("InvalidAsset", "%q is no id of an asset: %v", text, err)
	}
	for _, t := range []resource.Type{codeVersionType, dataVersionType, modelVersionType} {
		if !id.Type().Is(t) {
			continue
		}
		if !id.Parent().Parent().Equal(workspace) {
			return resource.Root, resource.Invalidf("InvalidAsset", "%q lies in another workspace than %s; name the place itself by its URL", text, workspace.Name())
		}
		return id, nil
	}
	return resource.Root, resource.Invalidf("InvalidAsset", "%q is the id of no version of code, data or a model", text)
}

// versionIn gives a version of an asset, or its newest one that is not archived when version is ""; the root when there is none.
// Whether the caller may read it is for whoever reads it.
func versionIn(ctx context.Context, call *arm.Call, container resource.ID, version string) (resource.ID, error) {
	if version != "" {
		id := container.Child("versions", version)
		exists, err := call.Manager.Exists(ctx, id)
		if err != nil || !exists {
			return resource.Root, err
		}
		return id, nil
	}
	docs, err := call.Manager.Below(ctx, container, container.Type()+"/versions")
	if err != nil {
		return resource.Root, err
	}
	var newest arm.Resource[AssetVersion]
	for _, doc := range docs {
		var r arm.Resource[AssetVersion]
		if err := json.Unmarshal(doc.Body, &r); err != nil {
			return resource.Root, err
		}
		if !r.Properties.archived() && (newest.ID.IsRoot() || r.SystemData.CreatedAt.After(newest.SystemData.CreatedAt)) {
			newest = r
		}
	}
	return newest.ID, nil
}
