package machinelearning

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// prepare completes the order of a job that has its nodes, and writes it down: as whom it runs now, which image that is, and who
// pulls it.
func (c *carrying) prepare(ctx context.Context, computeID resource.ID) (workload.Order, error) {
	p := &c.job.Properties
	order := *p.Run.Order
	submitter, known := c.Manager.Identities.Lookup(p.Run.Submitter)
	if !known {
		return order, resource.Invalidf("SubmitterNotFound", "Who submitted the job is not in the directory any more, and its code is read as the submitter; submit it again as somebody else.")
	}
	call := &arm.Call{Who: submitter, Manager: c.Manager, Job: order.ID, RequestID: order.ID}
	if err := c.maySubmit(call); err != nil {
		return order, err
	}
	compute, err := jobCompute(ctx, c.Manager, computeID)
	if err != nil {
		return order, err
	}
	_, as, err := actorOf(call, compute, p.Identity, submitter)
	if err != nil {
		return order, err
	}
	order.Who, order.Tokens, order.ClientID = as.who, as.tokens, as.clientID
	order.Reach = outboundOf(compute.Properties)
	for i := range order.Code {
		order.Code[i].Who = &submitter
	}
	if err := c.Deps.settleKinds(ctx, as.who, p, &order); err != nil {
		return order, err
	}
	digest := ""
	if c.Launcher.Isolation().Level != "process" { // without isolation no image is run
		environment, err := resource.ParseID(p.EnvironmentID)
		if err != nil {
			return order, err
		}
		if order.Image, err = c.image(ctx, call, environment); err != nil {
			return order, err
		}
		if order.Puller, digest, err = c.Deps.pullerOf(ctx, call, compute, as, order.Image); err != nil {
			return order, err
		}
	} else if environment, err := resource.ParseID(p.EnvironmentID); err == nil {
		c.tell(fmt.Sprintf("The image of the environment %s:%s is not pulled: jobs run as plain processes without walls.", environment.Parent().Name(), environment.Name()))
	}
	err = c.update(func(j *Job) {
		j.Run.Order, j.Run.Placed = &order, true
		c.advance(j, jobPreparing)
		if order.Image != "" {
			set(j, "alvara.image", order.Image)
		}
		if digest != "" {
			set(j, "alvara.imageDigest", digest)
		}
	})
	return order, err
}

// maySubmit asks again whether the submitter may submit jobs: roles may have been taken away while the job waited.
func (c *carrying) maySubmit(call *arm.Call) error {
	g := grant{dataScientist, c.id.Parent()}
	if g.heldBy(call, call.Who.ID) {
		return nil
	}
	return resource.Forbiddenf("SubmitterLacksRole", "Who submitted the job (principal %s) may not submit jobs to the workspace %s any more: %s is not allowed there now that the job's turn has come. Grant it with: %s — and submit the job again.",
		call.Who.ID, c.id.Parent().Name(), g.role.action(g.scope), g.cure(call.Who.ID))
}

// settleKinds finds out which models among the inputs are folders; the types of the others say so.
func (d Deps) settleKinds(ctx context.Context, who identity.Principal, p *Job, order *workload.Order) error {
	for i, file := range order.Inputs {
		if input := p.Inputs[file.Name]; input.JobInputType != customModel || file.Folder {
			continue
		}
		at := place{Account: file.Account, Container: file.Container, Path: file.Path}
		if err := d.settleFolder(ctx, who, &at); err != nil {
			return err
		}
		order.Inputs[i].Folder = at.Folder
	}
	return nil
}

// image gives the image of an environment, which is built when it must be. The build's log goes to the job's.
func (c *carrying) image(ctx context.Context, call *arm.Call, id resource.ID) (string, error) {
	environment, err := environmentOf(ctx, c.Manager, id)
	if err != nil {
		return "", err
	}
	if p := environment.Properties; p.Build == nil && p.CondaFile == "" {
		return p.Image, nil // as it is (MI-09)
	}
	if err := c.update(func(j *Job) { c.advance(j, jobPreparing) }); err != nil {
		return "", err
	}
	name := id.Parent().Name() + ":" + id.Name()
	answer, err := c.Deps.build(ctx, call, environment)
	if err != nil {
		return "", err
	}
	made, ok := answer.(*ImageBuild)
	if !ok {
		return "", resource.Errorf(resource.Internal, "BuildFailed", "the build of %s answers %T", name, answer)
	}
	if made.State != buildSucceeded {
		c.tell("The image of the environment " + name + " is built by the run " + made.RunID + " of the workspace's registry.")
		if made, err = c.awaitBuild(ctx, call, id, made); err != nil {
			return "", err
		}
	}
	if made.State != buildSucceeded {
		return "", resource.Invalidf("ImageBuildFailed", "The image of the environment %s could not be built: %s. The job's log has the build's. Once its cause is cured, build it with: alvara ml environment build -n %s -v %s -w %s -g %s",
			name, strings.TrimSuffix(made.Message, "."), id.Parent().Name(), id.Name(), c.id.Parent().Name(), c.id.ResourceGroup())
	}
	return made.Image, nil
}

// buildTick is how often a build is looked at.
const buildTick = 250 * time.Millisecond

// awaitBuild waits for the end of a build, and copies its log.
func (c *carrying) awaitBuild(ctx context.Context, call *arm.Call, id resource.ID, made *ImageBuild) (*ImageBuild, error) {
	link := ""
	tick := time.NewTicker(buildTick)
	defer tick.Stop()
	var offset int64
	for {
		now := buildNow(ctx, call, &arm.Resource[EnvironmentVersion]{ID: id, Properties: EnvironmentVersion{CondaFile: "-", ImageBuild: made}})
		if link == "" {
			link = c.buildLink(ctx, call, id, made)
		}
		text, next, err := c.BuildLog(ctx, link, offset)
		if err != nil { // the log is a convenience; its link may have expired
			link = ""
		} else {
			offset = next
			for line := range strings.Lines(string(text)) {
				c.tell("build: " + strings.TrimRight(line, "\r\n"))
			}
		}
		if now.State != buildQueued && now.State != buildRunning {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// buildLink is where the log of a build is read, or "".
func (c *carrying) buildLink(ctx context.Context, call *arm.Call, id resource.ID, made *ImageBuild) string {
	b, err := c.Deps.newBuilding(ctx, call, &arm.Resource[EnvironmentVersion]{ID: id})
	if err != nil {
		return ""
	}
	run, err := made.run()
	if err != nil {
		return ""
	}
	answer, err := c.Manager.Do(ctx, call, b.who, "POST", run.String()+"/listLogSasUrl", nil)
	if err != nil {
		return ""
	}
	link, _ := answer["logLink"].(string)
	return link
}

// pullerOf decides as whom the image of something that runs on a compute is pulled: as the one it runs as when that is an identity of
// the compute, else as the compute's default one. It makes sure that the image is there and may be pulled, and gives its digest where
// the registry is this server's (MI-05, MI-06, MI-09).
func (d Deps) pullerOf(ctx context.Context, call *arm.Call, compute *arm.Resource[Compute], as actor, image string) (puller workload.Puller, digest string, err error) {
	host, repository, reference := splitReference(image)
	registry, ours := d.Registries.Hosts()[host]
	have := identitiesOf(call, compute)
	if len(have) == 0 {
		if !ours {
			return puller, "", nil // elsewhere there is nobody to be
		}
		puller, err = d.adminPuller(ctx, call, compute, registry, image)
		return puller, "", err
	}
	principal := have[0].principal
	for _, one := range have {
		if one.principal == as.who.ID {
			principal = one.principal
		}
	}
	who, known := call.Manager.Identities.Lookup(principal)
	if !known {
		return puller, "", resource.Invalidf("IdentityNotFound", "The identity with which the compute %s pulls images is not in the directory any more; take it off the compute and assign another with: %s", compute.Name, giveIdentity(compute))
	}
	puller.Who = who
	if !ours {
		return puller, "", nil
	}
	digest, err = d.Registries.Digest(ctx, who, registry, repository, reference)
	switch resource.KindOf(err) {
	case resource.Forbidden:
		g := grant{acrPull, registry}
		err = resource.Forbiddenf("ImagePullForbidden", "The identity of the compute %s (principal %s) may not pull the image %s: it does not hold %s. Grant it with: %s", compute.Name, principal, image, g, g.cure(principal))
	case resource.NotFound:
		err = resource.NotFoundf("ImageNotFound", "The image %s does not exist in the registry %s; push it, or name another in a new version of the environment.", image, registry.Name())
	}
	return puller, digest, err
}

// adminPuller pulls for a compute that has no identity: nobody may pull then but the registry's admin user, which the workspace's identity
// asks its own registry for.
func (d Deps) adminPuller(ctx context.Context, call *arm.Call, compute *arm.Resource[Compute], registry resource.ID, image string) (workload.Puller, error) {
	workspace, err := workspaceOf(ctx, call, compute.ID.Parent())
	if err != nil {
		return workload.Puller{}, err
	}
	doc, err := call.Manager.Store.Get(ctx, registry.Key())
	if err != nil {
		return workload.Puller{}, err
	}
	var found struct {
		Properties struct {
			Admin     bool `json:"adminUserEnabled"`
			Anonymous bool `json:"anonymousPullEnabled"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(doc.Body, &found); err != nil {
		return workload.Puller{}, err
	}
	own := strings.EqualFold(workspace.Properties.ContainerRegistry, registry.String())
	switch {
	case found.Properties.Anonymous:
		return workload.Puller{}, nil
	case !own || !found.Properties.Admin:
		why := "the registry is not the workspace's own"
		if own {
			why = "the registry's admin user is not enabled"
		}
		return workload.Puller{}, resource.Forbiddenf("ComputeIdentityMissing", "The image %s is pulled from the registry %s, and nobody can be who pulls it: the compute %s has no identity, and %s. Give the compute an identity with: %s — and that one the role %s on %s.",
			image, registry.Name(), compute.Name, why, giveIdentity(compute), acrPull.name, registry)
	}
	principal, err := principalOf(ctx, call, workspace)
	if err != nil {
		return workload.Puller{}, err
	}
	who, known := call.Manager.Identities.Lookup(principal)
	if !known {
		return workload.Puller{}, resource.Invalidf("IdentityNotFound", "The identity that the workspace %s works as is not in the directory any more; give the workspace another one.", workspace.Name)
	}
	answer, err := call.Manager.Do(ctx, call, who, "POST", registry.String()+"/listCredentials", nil)
	if err != nil {
		return workload.Puller{}, err
	}
	var credentials struct {
		Username  string `json:"username"`
		Passwords []struct {
			Value string `json:"value"`
		} `json:"passwords"`
	}
	text, err := json.Marshal(answer)
	if err == nil {
		err = json.Unmarshal(text, &credentials)
	}
	if err != nil || len(credentials.Passwords) == 0 {
		return workload.Puller{}, resource.Errorf(resource.Unavailable, "RegistryCredentialsMissing", "the registry %s gives no password of its admin user", registry.Name()).Because(err)
	}
	return workload.Puller{Username: credentials.Username, Password: credentials.Passwords[0].Value}, nil
}
