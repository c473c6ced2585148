package machinelearning

import (
	"context"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// checkNamedVersions makes sure that what a deployment begins to name is there, and that the caller may see it. What it named before cannot
// be deleted below it.
func checkNamedVersions(ctx context.Context, change *arm.Change[OnlineDeployment]) error {
	next, prev := namedVersions(change.Next), map[string]namedVersion{}
	if change.Prev != nil {
		for _, one := range namedVersions(change.Prev) {
			prev[one.field] = one
		}
	}
	workspace := change.Next.ID.Parent().Parent()
	for _, one := range next {
		if one.text == "" || one.text == prev[one.field].text {
			continue
		}
		id, err := one.id(ctx, change.Call, workspace)
		if err == nil && !id.IsRoot() {
			_, err = change.Manager.Do(ctx, change.Call, change.Who, "GET", id.String(), nil)
		}
		if resource.KindOf(err) == resource.NotFound {
			return resource.NotFoundf(one.code, "%s is %q, which the workspace %s does not have; create it, or name another.", one.field, one.text, workspace.Name()).At(one.field)
		}
		if err != nil {
			return inField(one.field, err)
		}
	}
	return nil
}

// namedVersion is a version of an asset or an environment that a deployment names.
type namedVersion struct {
	field, text, code string          // code is that of the error when it is not there
	types             []resource.Type // none for an environment
}

func namedVersions(r *arm.Resource[OnlineDeployment]) []namedVersion {
	p := r.Properties
	out := []namedVersion{
		{"properties.environmentId", p.EnvironmentID, "EnvironmentNotFound", nil},
		{"properties.model", p.Model, "ModelNotFound", []resource.Type{modelType, dataType}},
	}
	if p.CodeConfiguration != nil {
		out = append(out, namedVersion{"properties.codeConfiguration.codeId", p.CodeConfiguration.CodeID, "CodeNotFound", []resource.Type{codeType}})
	}
	return out
}

// id is that of the version; the root for the URL of a place.
func (n namedVersion) id(ctx context.Context, call *arm.Call, workspace resource.ID) (resource.ID, error) {
	if n.types == nil {
		return environmentID(ctx, call, workspace, n.text)
	}
	return assetNamed(ctx, call, workspace, n.text, n.types)
}
