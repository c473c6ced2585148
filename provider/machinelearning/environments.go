package machinelearning

import (
	"context"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// EnvironmentVersion is the properties of a version of an environment: what a job runs in. It is an image as it is, an
// image with a conda file on top, or what a Dockerfile and its context build.
type EnvironmentVersion struct {
	Lifecycle
	Description     string             `json:"description,omitempty"`
	Tags            map[string]string  `json:"tags,omitempty"`
	Properties      map[string]string  `json:"properties,omitempty"`
	IsAnonymous     bool               `json:"isAnonymous"`
	Image           string             `json:"image,omitempty"`
	CondaFile       string             `json:"condaFile,omitempty"` // the YAML itself
	Build           *BuildContext      `json:"build,omitempty"`
	InferenceConfig map[string]*Routed `json:"inferenceConfig,omitempty"`
	OSType          string             `json:"osType,omitempty"`
	AutoRebuild     string             `json:"autoRebuild,omitempty"`
	EnvironmentType string             `json:"environmentType,omitempty"` // UserCreated: there are no others
	// UserManagedDependencies: true is an image as it is, false has one built.
	UserManagedDependencies *bool `json:"userManagedDependencies,omitempty"`
	olderEnvironment
	// RegistryIdentity is the user-assigned identity that pulls the base image of a build. It wins over the connections of
	// the workspace (MI-12).
	RegistryIdentity *RegistryIdentity `json:"registryIdentity,omitempty"`
	// ImageBuild is the latest build of the image. No caller sets it.
	ImageBuild *ImageBuild `json:"imageBuild,omitempty"`
}

// RegistryIdentity names a user-assigned identity by both its names.
type RegistryIdentity struct {
	ResourceID string `json:"resourceId"`
	ClientID   string `json:"clientId"`
}

// BuildContext is a folder with a Dockerfile.
type BuildContext struct {
	ContextURI     string `json:"contextUri"`
	DockerfilePath string `json:"dockerfilePath,omitempty"`
}

// Routed is where an image that serves answers: livenessRoute, readinessRoute and scoringRoute.
type Routed struct {
	Path string `json:"path"`
	Port int    `json:"port"`
}

var (
	// imageReference is [host[:port]/]repository[:tag][@digest].
	imageReference = regexp.MustCompile(`^([a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$`)
	contextURI     = regexp.MustCompile(`^(https|wasbs|abfss|azureml)://[^\s]+$`)
)

// Environments declares environments.
func (d Deps) Environments() arm.Type {
	return assetContainer(environmentType, string(environmentType))
}

// EnvironmentVersions declares the versions of environments. What a version consists of never changes; stage, tags and
// description do.
func (d Deps) EnvironmentVersions() arm.Type {
	return arm.Define(arm.Spec[EnvironmentVersion]{
		Type: environmentVersionType, APIVersions: apiVersions, Strict: true, ImplicitParent: true,
		Name: assetVersion, NameRule: assetVersionRule,
		Validate: validateEnvironment,
		Commit: func(ctx context.Context, change *arm.Change[EnvironmentVersion]) ([]store.Op, error) {
			if change.Prev != nil {
				return nil, nil
			}
			return withContainer(ctx, change.Call, change.Next.ID, environmentType)
		},
		Listed: assetsListed(func(r *arm.Resource[EnvironmentVersion]) listed {
			p := r.Properties
			return listed{p.Stage, p.Description, p.Tags, p.archived()}
		}),
		Present: func(ctx context.Context, call *arm.Call, r *arm.Resource[EnvironmentVersion]) {
			r.Properties.ImageBuild = buildNow(ctx, call, r)
		},
		Actions: []arm.Action[EnvironmentVersion]{
			{Name: "build", Permission: string(environmentType) + "/build/action", Run: d.build},
			{Name: "listBuildLog", Permission: string(environmentType) + "/read", Run: d.buildLog},
		},
	})
}

func validateEnvironment(ctx context.Context, change *arm.Change[EnvironmentVersion]) error {
	p := &change.Next.Properties
	if !assetName.MatchString(change.Next.ID.Parent().Name()) {
		return resource.Invalidf("InvalidResourceName", "%q is no name for an environment: %s", change.Next.ID.Parent().Name(), assetNameRule).At("name")
	}
	p.EnvironmentType, p.ImageBuild = "UserCreated", nil
	if change.Prev != nil {
		return keepEnvironment(change)
	}
	if err := p.translate(); err != nil {
		return err
	}
	switch {
	case p.Image == "" && p.Build == nil:
		return resource.Invalidf("InvalidEnvironment", "properties.image or properties.build was expected: an image, or the folder of a Dockerfile").At("properties.image")
	case p.Image != "" && p.Build != nil:
		return resource.Invalidf("InvalidEnvironment", "properties.image and properties.build exclude each other; a Dockerfile names its own base image").At("properties.build")
	case p.Build != nil && p.CondaFile != "":
		return resource.Invalidf("InvalidEnvironment", "properties.condaFile goes with properties.image; with a Dockerfile, install the packages there").At("properties.condaFile")
	case p.Image != "" && !imageReference.MatchString(p.Image):
		return resource.Invalidf("InvalidEnvironment", "properties.image is %q; a reference such as registry.example/team/app:1 was expected", p.Image).At("properties.image")
	}
	if err := p.settleManaged(); err != nil {
		return err
	}
	if err := checkConda(p.CondaFile); err != nil {
		return err
	}
	if err := checkBuild(p.Build); err != nil {
		return err
	}
	if err := settleRunning(p); err != nil {
		return err
	}
	if err := checkRegistryIdentity(ctx, change.Call, p); err != nil {
		return err
	}
	return p.settle(nil)
}

// keepEnvironment lets an update change what may change, and nothing else.
func keepEnvironment(change *arm.Change[EnvironmentVersion]) error {
	p, old := &change.Next.Properties, change.Prev.Properties
	changed := func(field string) error {
		return resource.Conflictf("VersionImmutable", "properties.%s of %s:%s cannot be changed; create a new version.", field, change.Next.ID.Parent().Name(), change.Next.Name).At("properties." + field)
	}
	switch {
	case p.Image != "" && p.Image != old.Image:
		return changed("image")
	case p.CondaFile != "" && p.CondaFile != old.CondaFile:
		return changed("condaFile")
	case p.Build != nil && (old.Build == nil || p.Build.ContextURI != old.Build.ContextURI || (p.Build.DockerfilePath != "" && p.Build.DockerfilePath != old.Build.DockerfilePath)):
		return changed("build")
	case p.UserManagedDependencies != nil && (old.UserManagedDependencies == nil || *p.UserManagedDependencies != *old.UserManagedDependencies):
		return changed("userManagedDependencies")
	case p.Python != nil:
		return changed("python")
	case p.Docker != nil:
		return changed("docker")
	case p.RegistryIdentity != nil && (old.RegistryIdentity == nil || !p.RegistryIdentity.same(*old.RegistryIdentity)):
		return changed("registryIdentity")
	}
	p.RegistryIdentity, p.ImageBuild, p.UserManagedDependencies = old.RegistryIdentity, old.ImageBuild, old.UserManagedDependencies
	p.Image, p.CondaFile, p.Build, p.InferenceConfig = old.Image, old.CondaFile, old.Build, old.InferenceConfig
	p.OSType, p.AutoRebuild, p.IsAnonymous = old.OSType, old.AutoRebuild, old.IsAnonymous
	return p.settle(&old.Lifecycle)
}

func (r RegistryIdentity) same(other RegistryIdentity) bool {
	return strings.EqualFold(r.ResourceID, other.ResourceID) && strings.EqualFold(r.ClientID, other.ClientID)
}

// checkRegistryIdentity makes sure that the identity which pulls the base image is there, and that its two names agree.
func checkRegistryIdentity(ctx context.Context, call *arm.Call, p *EnvironmentVersion) error {
	const field = "properties.registryIdentity"
	switch {
	case p.RegistryIdentity == nil:
		return nil
	case p.Image != "" && p.CondaFile == "":
		return resource.Invalidf("InvalidEnvironment", "%s pulls the base image of a build, and the image is used as it is: it is pulled as the identity of the compute; leave the field out", field).At(field)
	}
	for name, value := range map[string]string{"resourceId": p.RegistryIdentity.ResourceID, "clientId": p.RegistryIdentity.ClientID} {
		if value == "" {
			return resource.Invalidf("InvalidEnvironment", "%s.%s is missing; the identity is named by resource id and client id", field, name).At(field + "." + name)
		}
	}
	return checkIdentityNames(ctx, call, field, p.RegistryIdentity.ResourceID, p.RegistryIdentity.ClientID)
}

// checkConda makes sure that a conda file is one: a mapping with a list of dependencies.
func checkConda(text string) error {
	const field = "properties.condaFile"
	if text == "" {
		return nil
	}
	var file map[string]any
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		return resource.Invalidf("InvalidCondaFile", "%s is no YAML: %v", field, err).At(field)
	}
	if _, ok := file["dependencies"].([]any); !ok {
		return resource.Invalidf("InvalidCondaFile", "%s: dependencies, a list of packages, was expected in it", field).At(field)
	}
	return nil
}

func checkBuild(build *BuildContext) error {
	if build == nil {
		return nil
	}
	if !contextURI.MatchString(build.ContextURI) {
		return resource.Invalidf("InvalidEnvironment", "properties.build.contextUri is %q; the URL of a folder in a storage container was expected", build.ContextURI).At("properties.build.contextUri")
	}
	if build.DockerfilePath == "" {
		build.DockerfilePath = "Dockerfile"
	}
	for _, part := range strings.Split(build.DockerfilePath, "/") {
		if part == "" || part == ".." {
			return resource.Invalidf("InvalidEnvironment", "properties.build.dockerfilePath is %q; a path inside of the context was expected", build.DockerfilePath).At("properties.build.dockerfilePath")
		}
	}
	return nil
}

// settleRunning checks what an environment says of how it runs.
func settleRunning(p *EnvironmentVersion) error {
	switch {
	case p.OSType == "" || strings.EqualFold(p.OSType, "Linux"):
		p.OSType = "Linux"
	case strings.EqualFold(p.OSType, "Windows"):
		return resource.Errorf(resource.Unsupported, "NotSupported", "properties.osType: images run Linux; use Linux").At("properties.osType")
	default:
		return resource.Invalidf("InvalidEnvironment", "properties.osType is %q; Linux was expected", p.OSType).At("properties.osType")
	}
	switch {
	case p.AutoRebuild == "" || strings.EqualFold(p.AutoRebuild, "Disabled"):
		p.AutoRebuild = "Disabled"
	default:
		return resource.Errorf(resource.Unsupported, "NotSupported", "properties.autoRebuild is %q: nobody watches base images; use Disabled, and create a version when the base image has changed", p.AutoRebuild).At("properties.autoRebuild")
	}
	for name, route := range p.InferenceConfig {
		field := "properties.inferenceConfig." + name
		if name != "livenessRoute" && name != "readinessRoute" && name != "scoringRoute" {
			return resource.Invalidf("InvalidEnvironment", "%s is unknown; livenessRoute, readinessRoute or scoringRoute was expected", field).At(field)
		}
		if route == nil || !strings.HasPrefix(route.Path, "/") || route.Port < 1 || route.Port > 65535 {
			return resource.Invalidf("InvalidEnvironment", "%s: a path that begins with '/' and a port from 1 to 65535 were expected", field).At(field)
		}
	}
	return nil
}
