package machinelearning

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// How long a deployment waits for its image, and how often it looks.
const (
	longestBuild = time.Hour
	lookAtBuild  = 200 * time.Millisecond
)

// environmentID reads what names a version of an environment in a workspace: its id, azureml:NAME:VERSION or azureml:NAME@latest.
func environmentID(ctx context.Context, call *arm.Call, workspace resource.ID, text string) (resource.ID, error) {
	const field = "properties.environmentId"
	rest, _ := cutFold(text, "azureml:")
	if strings.HasPrefix(rest, "/") {
		id, err := resource.ParseID(rest)
		if err != nil || !id.Type().Is(environmentVersionType) || !id.Parent().Parent().Equal(workspace) {
			return resource.Root, resource.Invalidf("InvalidDeployment", "%s is %q; the id of an environment's version in the workspace %s was expected, or azureml:NAME:VERSION", field, text, workspace.Name()).At(field)
		}
		return id, nil
	}
	id, err := assetNamed(ctx, call, workspace, "azureml:"+rest, []resource.Type{environmentType})
	if err == nil && id.IsRoot() {
		err = resource.Invalidf("InvalidDeployment", "%s is %q; the id of an environment's version was expected, or azureml:NAME:VERSION", field, text).At(field)
	}
	return id, err
}

// deploymentEnvironment reads a version of an environment, which the caller may see.
func (d Deps) deploymentEnvironment(ctx context.Context, call *arm.Call, workspace resource.ID, text string) (*arm.Resource[EnvironmentVersion], error) {
	id, err := environmentID(ctx, call, workspace, text)
	if err != nil {
		return nil, err
	}
	if _, err := call.Manager.Do(ctx, call, call.Who, "GET", id.String(), nil); err != nil {
		return nil, err
	}
	r := &arm.Resource[EnvironmentVersion]{}
	return r, readDocument(ctx, call, id, r)
}

// bringImage has the image of an environment built where it is needed, waits for it, and settles which one it is: a tag that
// moves later changes nothing for the deployment.
func (p *planning) bringImage(ctx context.Context, environment *arm.Resource[EnvironmentVersion], template *servingTemplate) error {
	if !p.isolated() {
		return nil // without isolation there are no images
	}
	made, err := p.built(ctx, environment)
	if err != nil {
		return err
	}
	template.Image = made.Image
	host, repository, reference := splitReference(made.Image)
	registry, ours := p.Registries.Hosts()[host]
	who, err := p.pullerOf(ctx, *template)
	if err != nil || !ours {
		return err
	}
	if made.Digest == "" {
		if made.Digest, err = p.Registries.Digest(ctx, who.principal, registry, repository, reference); err != nil {
			return who.explain(err, made.Image, registry)
		}
	}
	name, _, _ := strings.Cut(made.Image, "@")
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name = name[:at]
	}
	template.Image = name + "@" + made.Digest
	return nil
}

// built gives the image of an environment once there is one.
func (p *planning) built(ctx context.Context, environment *arm.Resource[EnvironmentVersion]) (*ImageBuild, error) {
	ctx, cancel := context.WithTimeout(ctx, longestBuild)
	defer cancel()
	begun, err := p.build(ctx, p.call, environment)
	if err != nil {
		return nil, err
	}
	now, _ := begun.(*ImageBuild)
	tick := time.NewTicker(lookAtBuild)
	defer tick.Stop()
	for {
		switch now.State {
		case buildNotNeeded, buildSucceeded:
			return now, nil
		case buildFailed, buildNotBuilt:
			return nil, resource.Invalidf("ImageBuildFailed", "The image of the environment %s:%s could not be built: %s Read the log with: alvara ml environment show -n %s -v %s -w %s -g %s",
				environment.ID.Parent().Name(), environment.Name, now.Message, environment.ID.Parent().Name(), environment.Name, p.workspace.Name, p.workspace.ID.ResourceGroup())
		}
		select {
		case <-ctx.Done():
			return nil, resource.Errorf(resource.Unavailable, "ImageBuildNotEnded", "the image of the environment %s:%s is still being built; deploy again when it is there", environment.ID.Parent().Name(), environment.Name)
		case <-tick.C:
		}
		doc, err := p.call.Manager.Store.Get(ctx, environment.ID.Key())
		if err != nil {
			return nil, err
		}
		latest := &arm.Resource[EnvironmentVersion]{}
		if err := json.Unmarshal(doc.Body, latest); err != nil {
			return nil, err
		}
		now = buildNow(ctx, p.call, latest)
	}
}
