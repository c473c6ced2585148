package machinelearning

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// imageRepository is where the images of environments lie in a workspace's registry; what follows is a hash of the content.
const imageRepository = "azureml/azureml_"

// build makes sure that there is an image of an environment's content, or that one is being built. The same content is built
// once. It works as the workspace's identity, but for what the environment's author brings: the folder of a Dockerfile is read
// as the caller.
func (d Deps) build(ctx context.Context, call *arm.Call, r *arm.Resource[EnvironmentVersion]) (any, error) {
	if now := r.Properties; now.Build == nil && now.CondaFile == "" {
		return buildNow(ctx, call, r), nil
	}
	b, err := d.newBuilding(ctx, call, r)
	if err != nil {
		return nil, err
	}
	source, err := d.sourceOf(ctx, call, r)
	if err != nil {
		return nil, err
	}
	defer source.close()
	bases, err := b.resolveBases(ctx, source.bases)
	if err != nil {
		return nil, err
	}
	hash := source.hash(bases)
	if err := b.enterRegistry(ctx); err != nil {
		return nil, err
	}
	repository := imageRepository + hash
	made := &ImageBuild{State: buildSucceeded, Image: b.host + "/" + repository + ":latest", Registry: b.registry.String()}
	made.Digest, err = d.Registries.Digest(ctx, b.who, b.registry, repository, "latest")
	switch {
	case resource.KindOf(err) == resource.NotFound:
		err = b.once(ctx, hash, func() error {
			if err := b.start(ctx, made, source, bases, hash); err != nil {
				return err
			}
			return keepBuild(ctx, call, r.ID, made)
		})
	case err == nil:
		err = keepBuild(ctx, call, r.ID, made)
	}
	if err != nil {
		return nil, err
	}
	return made, nil
}

// building is one request for an image on its way.
type building struct {
	Deps
	call        *arm.Call
	environment *arm.Resource[EnvironmentVersion]
	workspace   *arm.Resource[Workspace]
	who         identity.Principal // as whom the workspace works

	registry resource.ID // the workspace's, once enterRegistry has been
	host     string      // of that
}

// newBuilding finds out as whom the workspace works.
func (d Deps) newBuilding(ctx context.Context, call *arm.Call, r *arm.Resource[EnvironmentVersion]) (*building, error) {
	workspace, err := workspaceOf(ctx, call, r.ID.Parent().Parent())
	if err != nil {
		return nil, err
	}
	if isStore(workspace, nil) {
		return nil, resource.Errorf(resource.Unsupported, "NotSupported", "%s is a feature store, where nothing is built; build the environment in a workspace of the kind Default", workspace.Name)
	}
	principal, err := principalOf(ctx, call, workspace)
	if err != nil {
		return nil, err
	}
	who, known := call.Manager.Identities.Lookup(principal)
	if !known {
		return nil, resource.Invalidf("IdentityNotFound", "The identity that the workspace %s works as is not in the directory any more; give the workspace another one.", workspace.Name)
	}
	return &building{Deps: d, call: call, environment: r, workspace: workspace, who: who}, nil
}

// grantWait is how long a registry that was just made is given until the workspace's identity holds its roles there.
const grantWait = 20 * time.Second

// enterRegistry makes sure that there is a registry, which the first build makes (MI-03), and that the workspace's identity may
// have it build and push.
func (b *building) enterRegistry(ctx context.Context) error {
	var err error
	if b.registry, err = ensureRegistry(ctx, b.call, b.workspace.ID); err != nil {
		return err
	}
	for host, id := range b.Registries.Hosts() {
		if id.Equal(b.registry) {
			b.host = host
		}
	}
	if b.host == "" {
		return resource.NotFoundf("RegistryNotFound", "The registry '%s' of the workspace %s does not exist; give the workspace another one with: alvara ml workspace update -n %s -g %s --container-registry ID",
			b.registry, b.workspace.Name, b.workspace.Name, b.workspace.ID.ResourceGroup())
	}
	for _, need := range []struct {
		grant
		to string
	}{{grant{acrTasks, b.registry}, "have the workspace's registry build"}, {grant{acrPush, b.registry}, "push to the workspace's registry"}} {
		if need.heldBy(b.call, b.who.ID) {
			continue
		}
		// A registry that was just made comes before the roles there.
		if err := settled(ctx, b.call, b.workspace.ID); err != nil {
			return err
		}
		if !need.heldBy(b.call, b.who.ID) {
			return b.lacks(need.grant, b.who.ID, "The identity of the workspace "+b.workspace.Name, need.to)
		}
	}
	return nil
}

// lacks refuses a build for a role that somebody other than the caller does not hold.
func (b *building) lacks(g grant, principal, who, to string) error {
	return resource.Forbiddenf("BuildIdentityLacksRole", "%s (principal %s) may not %s: it does not hold %s. Grant it with: %s", who, principal, to, g, g.cure(principal))
}

// settled waits until a workspace's update has ended, with which its identity gets its roles.
func settled(ctx context.Context, call *arm.Call, workspace resource.ID) error {
	ctx, cancel := context.WithTimeout(ctx, grantWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		doc, err := call.Manager.Store.Get(ctx, workspace.Key())
		if err != nil {
			return err
		}
		var now struct {
			State string `json:"state"`
		}
		if err := json.Unmarshal(doc.Body, &now); err != nil || (now.State != arm.Updating && now.State != arm.Creating) {
			return err
		}
		select {
		case <-ctx.Done():
			return resource.Errorf(resource.Unavailable, "WorkspaceBusy", "the workspace %s is being updated; try again", workspace.Name())
		case <-tick.C:
		}
	}
}

// start has the registry build the image, unless a run of the same content is under way in the workspace.
func (b *building) start(ctx context.Context, made *ImageBuild, source *buildSource, bases []base, hash string) error {
	running, err := b.underWay(ctx, made.Image)
	if err != nil || running != nil {
		if running != nil {
			*made = *running
		}
		return err
	}
	// One that ended meanwhile has left its image.
	made.Digest, err = b.Registries.Digest(ctx, b.who, b.registry, imageRepository+hash, "latest")
	if resource.KindOf(err) != resource.NotFound {
		return err
	}
	if err := source.complete(bases, hash); err != nil {
		return err
	}
	place, err := b.call.Manager.Do(ctx, b.call, b.who, "POST", b.registry.String()+"/listBuildSourceUploadUrl", nil)
	if err != nil {
		return err
	}
	url, _ := place["uploadUrl"].(string)
	relative, _ := place["relativePath"].(string)
	if err := source.send(ctx, b.Registries, url); err != nil {
		return err
	}
	custom := map[string]any{}
	for _, base := range bases {
		if base.identity != "" && base.host != b.host {
			custom[base.host] = map[string]any{"identity": base.identity}
		}
	}
	run, err := b.call.Manager.Do(ctx, b.call, b.who, "POST", b.registry.String()+"/scheduleRun", map[string]any{
		"type": "DockerBuildRequest", "platform": map[string]any{"os": "Linux"}, "dockerFilePath": source.dockerfile, "sourceLocation": relative,
		"imageNames": []string{strings.TrimPrefix(made.Image, b.host+"/")}, "isPushEnabled": true,
		"credentials": map[string]any{"sourceRegistry": map[string]any{"identity": "[caller]"}, "customRegistries": custom},
	})
	if err != nil {
		return err
	}
	made.State = buildQueued
	made.RunID, _ = run["name"].(string)
	return nil
}

// underWay finds a build of the same image in the workspace that has not ended.
func (b *building) underWay(ctx context.Context, image string) (*ImageBuild, error) {
	docs, err := b.call.Manager.Below(ctx, b.workspace.ID, environmentVersionType)
	if err != nil {
		return nil, err
	}
	for _, doc := range docs {
		other := &arm.Resource[EnvironmentVersion]{}
		if err := json.Unmarshal(doc.Body, other); err != nil {
			return nil, err
		}
		if kept := other.Properties.ImageBuild; kept == nil || kept.Image != image {
			continue
		}
		if now := buildNow(ctx, b.call, other); now.State == buildQueued || now.State == buildRunning {
			return now, nil
		}
	}
	return nil, nil
}
