package machinelearning

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// environmentNamed reads the environment that a job or a deployment names in field: azureml:NAME:VERSION, NAME:VERSION,
// azureml:NAME@latest, or the id of a version or of the label latest. Whether the caller may read it is not asked. Errors: Invalid,
// NotFound.
func environmentNamed(ctx context.Context, call *arm.Call, workspace resource.ID, field, text string) (resource.ID, error) {
	rest, _ := cutFold(text, "azureml:")
	const expected = "azureml:NAME:VERSION, azureml:NAME@latest or the id of a version was expected"
	name, version := "", ""
	switch {
	case rest == "":
		return resource.Root, resource.Invalidf("EnvironmentRequired", "%s is missing; %s", field, expected).At(field)
	case strings.HasPrefix(rest, "//registries/"):
		return resource.Root, resource.Errorf(resource.Unsupported, "NotSupported", "%s is %q, and there are no registries of assets here; create the environment in the workspace %s and name that", field, text, workspace.Name()).At(field)
	case strings.HasPrefix(rest, "/"):
		id, err := resource.ParseID(rest)
		container := id.Parent()
		if err != nil || !container.Type().Is(environmentType) {
			return resource.Root, resource.Invalidf("InvalidResourceId", "%s is %q; %s", field, text, expected).At(field)
		}
		if !container.Parent().Equal(workspace) {
			return resource.Root, resource.Invalidf("EnvironmentNotFound", "%s is '%s', an environment of another workspace than %s; create it there and name that", field, id, workspace.Name()).At(field)
		}
		name, version = container.Name(), id.Name()
		if strings.HasSuffix(strings.ToLower(string(id.Type())), "/labels") {
			if !strings.EqualFold(version, latest) {
				return resource.Root, resource.Invalidf("InvalidResourceId", "%s names the label %q; %s is the only one", field, version, latest).At(field)
			}
			version = ""
		}
	default:
		var label string
		var labeled, versioned bool
		if name, label, labeled = strings.Cut(rest, "@"); labeled && !strings.EqualFold(label, latest) {
			return resource.Root, resource.Invalidf("InvalidEnvironment", "%s names the label %q; %s is the only one", field, label, latest).At(field)
		}
		if name, version, versioned = strings.Cut(name, ":"); !labeled && !versioned {
			return resource.Root, resource.Invalidf("InvalidEnvironment", "%s is %q; %s", field, text, expected).At(field)
		}
	}
	if !assetName.MatchString(name) || version != "" && !assetVersion.MatchString(version) {
		return resource.Root, resource.Invalidf("InvalidEnvironment", "%s is %q; %s", field, text, expected).At(field)
	}
	id, err := versionIn(ctx, call, workspace.Child("environments", name), version)
	if err != nil {
		return resource.Root, err
	}
	if id.IsRoot() {
		if version == "" {
			version = latest
		}
		return resource.Root, resource.NotFoundf("EnvironmentNotFound", "%s names the environment %s:%s, which the workspace %s does not have; create it, or name another.", field, name, version, workspace.Name()).At(field)
	}
	return id, nil
}

// environmentOf reads a stored version of an environment. Errors: NotFound.
func environmentOf(ctx context.Context, manager *arm.Manager, id resource.ID) (*arm.Resource[EnvironmentVersion], error) {
	doc, err := manager.Store.Get(ctx, id.Key())
	if resource.KindOf(err) == resource.NotFound {
		return nil, resource.NotFoundf("EnvironmentNotFound", "The environment %s:%s was deleted meanwhile.", id.Parent().Name(), id.Name())
	}
	if err != nil {
		return nil, err
	}
	r := &arm.Resource[EnvironmentVersion]{}
	return r, json.Unmarshal(doc.Body, r)
}
