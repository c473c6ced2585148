package machinelearning

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/serving"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/workload"
)

// servingTemplate is what the orders of a deployment's instances are made of. As whom an instance pulls and works is decided anew
// with each.
type servingTemplate struct {
	Deployment  resource.ID    `json:"deployment"`
	ComputeType string         `json:"computeType"`
	Image       string         `json:"image"` // with its digest where it is in a registry of this server
	Command     []string       `json:"command,omitempty"`
	Env         []string       `json:"env"`
	Code        *workload.File `json:"code,omitempty"`
	Model       *workload.File `json:"model,omitempty"`
	Port        int            `json:"port"`
	Limits      job.Limits     `json:"limits"`
}

// The routes of images that name none, as those of inference servers.
const (
	usualPort  = 5001
	usualScore = "/score"
	usualProbe = "/"
)

// deploy is the long part of a write: it finds out what is to run, as the caller, and has it serve. It ends when all instances are ready.
func (d Deps) deploy(ctx context.Context, call *arm.Call, r *arm.Resource[OnlineDeployment]) ([]store.Op, error) {
	revision, err := d.revisionOf(ctx, call, r)
	if err != nil {
		return nil, err
	}
	return nil, d.Serving.Roll(ctx, r.ID.Key(), revision)
}

// planning is a deployment on its way to a revision.
type planning struct {
	Deps
	call       *arm.Call
	deployment *arm.Resource[OnlineDeployment]
	endpoint   *arm.Resource[OnlineEndpoint]
	workspace  *arm.Resource[Workspace]
}

func (d Deps) planningOf(ctx context.Context, call *arm.Call, r *arm.Resource[OnlineDeployment]) (*planning, error) {
	endpoint, err := endpointOf(ctx, call, r.ID.Parent())
	if err != nil {
		return nil, err
	}
	workspace, err := workspaceOf(ctx, call, endpoint.ID.Parent())
	return &planning{d, call, r, endpoint, workspace}, err
}

func (d Deps) revisionOf(ctx context.Context, call *arm.Call, r *arm.Resource[OnlineDeployment]) (serving.Revision, error) {
	var none serving.Revision
	// An endpoint's deployment is an operation that needs a registry (MI-03).
	if _, err := ensureRegistry(ctx, call, r.ID.Parent().Parent()); err != nil {
		return none, err
	}
	p, err := d.planningOf(ctx, call, r)
	if err != nil {
		return none, err
	}
	environment, err := d.deploymentEnvironment(ctx, call, p.workspace.ID, r.Properties.EnvironmentID)
	if err != nil {
		return none, err
	}
	routes, err := routesOf(environment)
	if err != nil {
		return none, err
	}
	template := servingTemplate{Deployment: r.ID, ComputeType: r.Properties.EndpointComputeType, Port: routes.port}
	if err := p.bringImage(ctx, environment, &template); err != nil {
		return none, err
	}
	if err := p.bringFiles(ctx, &template); err != nil {
		return none, err
	}
	if template.Limits, err = p.limits(ctx); err != nil {
		return none, err
	}
	text, err := json.Marshal(template)
	if err != nil {
		return none, err
	}
	sum := sha256.Sum256(text)
	revision := serving.Revision{ID: hex.EncodeToString(sum[:6]), Template: text, Scale: scaleOf(r)}
	revision.Requests, revision.Probes = requestsOf(&r.Properties, routes), probesOf(&r.Properties, routes)
	return revision, nil
}

// routes are where an image answers.
type routes struct {
	port               int
	live, ready, score string
}

// routesOf reads an environment's inferenceConfig. An instance has one port.
func routesOf(environment *arm.Resource[EnvironmentVersion]) (routes, error) {
	out := routes{0, usualProbe, usualProbe, usualScore}
	for name, at := range map[string]*string{"livenessRoute": &out.live, "readinessRoute": &out.ready, "scoringRoute": &out.score} {
		route := environment.Properties.InferenceConfig[name]
		if route == nil {
			continue
		}
		*at = route.Path
		if out.port != 0 && route.Port != out.port {
			return out, resource.Errorf(resource.Unsupported, "NotSupported", "The environment %s:%s has routes at the ports %d and %d in its inferenceConfig; an instance answers at one port: create a version whose routes share it",
				environment.ID.Parent().Name(), environment.Name, min(out.port, route.Port), max(out.port, route.Port))
		}
		out.port = route.Port
	}
	if out.port == 0 {
		out.port = usualPort
	}
	return out, nil
}

func scaleOf(r *arm.Resource[OnlineDeployment]) serving.Scale {
	if s := r.Properties.ScaleSettings; s != nil && s.ScaleType == "TargetUtilization" {
		every, _ := shortDuration(s.PollingInterval) // was checked when it was written
		return serving.Scale{Min: s.MinInstances, Max: s.MaxInstances, Target: float64(s.TargetUtilization) / 100, Every: every}
	}
	if s, err := skuOf(r.SKU); err == nil && s.Capacity != nil {
		return serving.Scale{Min: *s.Capacity}
	}
	return serving.Scale{Min: 1}
}

func requestsOf(p *OnlineDeployment, at routes) serving.Requests {
	timeout, _ := shortDuration(p.RequestSettings.RequestTimeout) // both were checked when they were written
	wait, _ := shortDuration(p.RequestSettings.QueueWait)
	return serving.Requests{Path: at.score, Concurrency: p.RequestSettings.Concurrency, Timeout: timeout, Wait: wait}
}

func probesOf(p *OnlineDeployment, at routes) serving.Probes {
	probe := func(s *ProbeSettings, path string) serving.Probe {
		length := func(text string) time.Duration { d, _ := shortDuration(text); return d } // was checked when it was written
		return serving.Probe{Path: path, Delay: length(s.InitialDelay), Period: length(s.Period), Timeout: length(s.Timeout), Failures: s.FailureThreshold, Successes: s.SuccessThreshold}
	}
	return serving.Probes{Startup: probe(p.StartupProbe, at.ready), Live: probe(p.LivenessProbe, at.live), Ready: probe(p.ReadinessProbe, at.ready)}
}

// bringFiles finds code and model, which the caller may read as resources and the endpoint's identity as files.
func (p *planning) bringFiles(ctx context.Context, template *servingTemplate) error {
	who, err := p.identity()
	if err != nil {
		return err
	}
	own, env := p.deployment.Properties, map[string]string{}
	if own.Model != "" {
		file, err := p.fileOf(ctx, who, "model", own.Model, modelType, dataType)
		if err != nil {
			return err
		}
		template.Model = file
		// The folder in which the model lies by its own name, be it a file or a folder.
		if base := path.Base("/" + file.Path); modelName.MatchString(base) {
			file.Name = base
		}
		env["AZUREML_MODEL_DIR"] = "${{inputs." + file.Name + "/..}}"
	}
	if own.CodeConfiguration != nil {
		file, err := p.fileOf(ctx, who, "code", own.CodeConfiguration.CodeID, codeType)
		if err != nil {
			return err
		}
		file.Name = "" // in the working folder itself
		template.Code = file
		env["AZUREML_ENTRY_SCRIPT"] = own.CodeConfiguration.ScoringScript
		if p.isolated() {
			env["AML_APP_ROOT"] = "/alvara/code"
		} else {
			template.Command = commandOf(own.CodeConfiguration.ScoringScript)
		}
	} else if !p.isolated() {
		return resource.Invalidf("CodeRequired", "The deployment %s has no code, and this server runs instances without images: give the deployment a codeConfiguration whose scoringScript is a program that serves HTTP at $PORT, or have the server use its sandbox: alvara serve --job-backend sandbox",
			p.deployment.Name)
	}
	for name, value := range own.EnvironmentVariables {
		env[name] = value
	}
	for name, value := range env {
		template.Env = append(template.Env, name+"="+value)
	}
	slices.Sort(template.Env)
	return nil
}

// modelName is what an input can be called.
var modelName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$`)

// commandOf runs a script without an image: Python by its interpreter, all else by itself.
func commandOf(script string) []string {
	if strings.EqualFold(path.Ext(script), ".py") {
		return []string{"python3", script}
	}
	return []string{"./" + script}
}

func (p *planning) isolated() bool { return p.Isolation().Level != "process" }

// fileOf finds an asset's place, and whether it is a folder, as the endpoint's identity.
func (p *planning) fileOf(ctx context.Context, who identity.Principal, name, text string, types ...resource.Type) (*workload.File, error) {
	at, err := p.resolveAsset(ctx, p.call, p.workspace.ID, text, types...)
	if err != nil {
		return nil, err
	}
	if err := p.settleFolder(ctx, who, &at); err != nil {
		if resource.KindOf(err) != resource.Forbidden {
			return nil, err
		}
		g := grant{blobReader, p.storageOf(ctx, at.Account)}
		return nil, resource.Forbiddenf("EndpointIdentityLacksRole", "The identity of the endpoint %s (principal %s) may not read the %s of the deployment %s, which is in the storage account %s: it does not hold %s. Grant it with: %s",
			p.endpoint.Name, who.ID, name, p.deployment.Name, at.Account, g, g.cure(who.ID))
	}
	file := at.file(name)
	return &file, nil
}

// storageOf is the id of a storage account of this server; the workspace's own where the name is of none.
func (p *planning) storageOf(ctx context.Context, account string) resource.ID {
	own, _ := resource.ParseID(p.workspace.Properties.StorageAccount)
	if strings.EqualFold(own.Name(), account) {
		return own
	}
	docs, err := p.call.Manager.Below(ctx, resource.Root, storageAccountType)
	if err == nil {
		for _, doc := range docs {
			if id, err := resource.ParseID(doc.Key); err == nil && strings.EqualFold(id.Name(), account) {
				return id
			}
		}
	}
	return own
}

// limits are what an instance gets.
func (p *planning) limits(ctx context.Context) (job.Limits, error) {
	var limits job.Limits
	set := func(cpu, memory string) error {
		for _, one := range []struct {
			text string
			set  func(float64)
		}{{cpu, func(v float64) { limits.CPUs = v }}, {memory, func(v float64) { limits.Memory = int64(v) }}} {
			if one.text == "" {
				continue
			}
			value, err := quantityOf(one.text)
			if err != nil {
				return resource.Invalidf("InvalidDeployment", "%q is no quantity such as 500m, 2 or 4Gi", one.text)
			}
			one.set(value)
		}
		return nil
	}
	if p.deployment.Properties.EndpointComputeType == onKubernetes {
		cpu, memory, err := p.instanceTypeLimits(ctx)
		if err != nil {
			return limits, err
		}
		if err := set(cpu, memory); err != nil {
			return limits, err
		}
	}
	if needs := p.deployment.Properties.ContainerResources; needs != nil {
		for _, some := range []*ContainerResources{needs.Requests, needs.Limits} { // the limit is what bounds
			if some != nil {
				if err := set(some.CPU, some.Memory); err != nil {
					return limits, err
				}
			}
		}
	}
	return limits, nil
}

// instanceTypeLimits are those of the instance type that a deployment on a cluster names, or of the cluster's usual one.
func (p *planning) instanceTypeLimits(ctx context.Context) (cpu, memory string, err error) {
	compute, err := p.cluster(ctx)
	if err != nil {
		return "", "", err
	}
	var k kubernetes
	if len(compute.Properties.Properties) > 0 {
		if err := json.Unmarshal(compute.Properties.Properties, &k); err != nil {
			return "", "", err
		}
	}
	name := p.deployment.Properties.InstanceType
	if name == "" {
		name = k.DefaultInstanceType
	}
	if name == "" || len(k.InstanceTypes) == 0 {
		return "", "", nil
	}
	chosen, known := k.InstanceTypes[name]
	if !known {
		return "", "", resource.Invalidf("InvalidDeployment", "properties.instanceType is %q, which is not among the instance types of the compute %s", name, compute.Name).At("properties.instanceType")
	}
	text := func(all map[string]*string, what string) string {
		if all[what] == nil {
			return ""
		}
		return *all[what]
	}
	return text(chosen.Resources.Limits, "cpu"), text(chosen.Resources.Limits, "memory"), nil
}
