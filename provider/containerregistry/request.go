package containerregistry

import (
	"encoding/json"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// buildRequest is the body of scheduleRun: a DockerBuildRequest.
type buildRequest struct {
	Type               string              `json:"type"`
	AgentPoolName      string              `json:"agentPoolName"`
	IsArchiveEnabled   bool                `json:"isArchiveEnabled"`
	LogTemplate        string              `json:"logTemplate"`
	ImageNames         []string            `json:"imageNames"`
	IsPushEnabled      *bool               `json:"isPushEnabled"` // true when it is not given and images are named
	NoCache            bool                `json:"noCache"`
	DockerFilePath     string              `json:"dockerFilePath"`
	Target             string              `json:"target"`
	Arguments          []argument          `json:"arguments"`
	Timeout            int64               `json:"timeout"` // seconds
	Platform           *Platform           `json:"platform"`
	AgentConfiguration *AgentConfiguration `json:"agentConfiguration"`
	SourceLocation     string              `json:"sourceLocation"`
	Credentials        *credentials        `json:"credentials"`
}

type argument struct {
	Type     string `json:"type"` // Argument, as az sends it; it means nothing
	Name     string `json:"name"`
	Value    string `json:"value"`
	IsSecret bool   `json:"isSecret"`
}

type credentials struct {
	SourceRegistry   *sourceRegistry            `json:"sourceRegistry"`
	CustomRegistries map[string]*customRegistry `json:"customRegistries"` // by host
}

type sourceRegistry struct {
	LoginMode string `json:"loginMode"` // Default or None
	Identity  string `json:"identity"`
}

type customRegistry struct {
	Identity string  `json:"identity"`
	UserName *secret `json:"userName"`
	Password *secret `json:"password"`
}

// secret is a text, or where in a vault it is.
type secret struct {
	Type  string `json:"type"` // Opaque or Vaultsecret
	Value string `json:"value"`
}

const (
	defaultTimeout = time.Hour
	maxTimeout     = 8 * time.Hour
	maxCPU         = 64
	maxImageNames  = 100
	maxArguments   = 1000
)

// elsewhere are the kinds of run that are not offered, with what to use.
var elsewhere = map[string]string{
	"encodedtaskrunrequest": "tasks of several steps are not offered; build each image with a DockerBuildRequest",
	"filetaskrunrequest":    "tasks of several steps are not offered; build each image with a DockerBuildRequest",
	"taskrunrequest":        "stored tasks are not offered; send what the task would do as a DockerBuildRequest",
}

var argumentName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// readRequest reads and checks what can be checked without knowing the registry.
func readRequest(body []byte) (*buildRequest, error) {
	var sketch struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(body, &sketch) // a malformed body is refused below
	if why := elsewhere[strings.ToLower(sketch.Type)]; why != "" {
		return nil, refused("type", sketch.Type+": "+why)
	}
	request := &buildRequest{}
	if err := arm.ReadBody(body, request); err != nil {
		return nil, err
	}
	return request, request.check()
}

func (r *buildRequest) check() error {
	switch {
	case !strings.EqualFold(r.Type, "DockerBuildRequest"):
		return invalid("type", "it is %q; DockerBuildRequest was expected", r.Type)
	case r.AgentPoolName != "":
		return refused("agentPoolName", "there are no agent pools; leave it out")
	case r.LogTemplate != "":
		return refused("logTemplate", "logs are not pushed as artifacts; read them with listLogSasUrl, and leave it out")
	case r.DockerFilePath == "":
		return invalid("dockerFilePath", "it is missing; the path of the Dockerfile in the source was expected, such as Dockerfile")
	case len(r.ImageNames) > maxImageNames:
		return invalid("imageNames", "there are %d; at most %d are taken", len(r.ImageNames), maxImageNames)
	case len(r.Arguments) > maxArguments:
		return invalid("arguments", "there are %d; at most %d are taken", len(r.Arguments), maxArguments)
	case r.Timeout < 0 || r.Timeout > int64(maxTimeout/time.Second):
		return invalid("timeout", "it is %d; a number of seconds from 1 to %d was expected", r.Timeout, int64(maxTimeout/time.Second))
	case r.AgentConfiguration != nil && (r.AgentConfiguration.CPU < 0 || r.AgentConfiguration.CPU > maxCPU):
		return invalid("agentConfiguration.cpu", "it is %d; a number from 1 to %d was expected", r.AgentConfiguration.CPU, maxCPU)
	case r.push() && len(r.ImageNames) == 0:
		return invalid("imageNames", "it is empty and isPushEnabled is true; name what to push, such as app:v1, or set isPushEnabled to false")
	}
	for _, a := range r.Arguments {
		if !argumentName.MatchString(a.Name) {
			return invalid("arguments", "%q is no name of a build argument; letters, digits and '_' were expected, not beginning with a digit", a.Name)
		}
	}
	if err := checkSource(r.SourceLocation); err != nil {
		return err
	}
	if err := r.checkPlatform(); err != nil {
		return err
	}
	return r.checkCredentials()
}

// push tells whether the images are pushed: unless the request says no, whatever has a name.
func (r *buildRequest) push() bool {
	if r.IsPushEnabled == nil {
		return len(r.ImageNames) > 0
	}
	return *r.IsPushEnabled
}

func (r *buildRequest) timeout() time.Duration {
	if r.Timeout == 0 {
		return defaultTimeout
	}
	return time.Duration(r.Timeout) * time.Second
}

func checkSource(location string) error {
	const field, cure = "sourceLocation", "upload the source to the URL that listBuildSourceUploadUrl gives, and name its relativePath"
	switch {
	case location == "":
		return invalid(field, "it is missing; %s", cure)
	case strings.Contains(location, "://") || strings.HasPrefix(location, "git@"):
		return refused(field, "sources from elsewhere, such as git repositories, are not offered; "+cure)
	case path.Clean(location) != location || strings.HasPrefix(location, "/") || strings.HasPrefix(location, "..") || strings.ContainsAny(location, "\\?#%"):
		return invalid(field, "%q is no path that listBuildSourceUploadUrl gave; %s", location, cure)
	}
	return nil
}

func (r *buildRequest) checkPlatform() error {
	if r.Platform == nil {
		return invalid("platform", "it is missing; {\"os\":\"Linux\"} was expected")
	}
	if strings.EqualFold(r.Platform.OS, "Windows") {
		return refused("platform.os", "images for Windows are not built here; Linux is")
	}
	if err := choose("platform.os", &r.Platform.OS, "Linux", "Linux"); err != nil {
		return err
	}
	switch r.Platform.Architecture {
	case "", "amd64", "arm64", "arm", "386":
	case "x86":
		r.Platform.Architecture = "386"
	default:
		return invalid("platform.architecture", "it is %q; amd64, arm64, arm or 386 was expected", r.Platform.Architecture)
	}
	switch r.Platform.Variant {
	case "", "v6", "v7", "v8":
		return nil
	}
	return invalid("platform.variant", "it is %q; v6, v7 or v8 was expected", r.Platform.Variant)
}

func (r *buildRequest) checkCredentials() error {
	if r.Credentials == nil {
		r.Credentials = &credentials{}
	}
	if r.Credentials.SourceRegistry == nil {
		r.Credentials.SourceRegistry = &sourceRegistry{}
	}
	source := r.Credentials.SourceRegistry
	if err := choose("credentials.sourceRegistry.loginMode", &source.LoginMode, "Default", "None"); err != nil {
		return err
	}
	if source.LoginMode == "None" {
		switch {
		case r.push():
			return invalid("credentials.sourceRegistry.loginMode", "it is None and isPushEnabled is true; nothing is pushed without signing in to the registry, so use Default, or set isPushEnabled to false")
		case source.Identity != "":
			return invalid("credentials.sourceRegistry.identity", "it names an identity and loginMode is None; leave one of them out")
		}
	}
	for host, custom := range r.Credentials.CustomRegistries {
		if err := custom.check("credentials.customRegistries["+host+"]", host); err != nil {
			return err
		}
	}
	return nil
}

func (c *customRegistry) check(field, host string) error {
	if !hostName.MatchString(strings.ToLower(host)) || !isHost(host) {
		return invalid(field, "%q is no host of a registry; host or host:port was expected, without https://", host)
	}
	if c == nil || (c.Identity == "" && c.UserName == nil && c.Password == nil) {
		return invalid(field, "it says neither an identity nor a userName and password")
	}
	if c.Identity != "" {
		if c.UserName != nil || c.Password != nil {
			return invalid(field, "it names an identity and a userName or password; leave one of them out")
		}
		return nil
	}
	for name, value := range map[string]*secret{"userName": c.UserName, "password": c.Password} {
		if value == nil || value.Value == "" {
			return invalid(field+"."+name, "it is missing; a userName goes with a password")
		}
		if strings.EqualFold(value.Type, "Vaultsecret") {
			return refused(field+"."+name+".type", "secrets are not read from vaults; use an identity, or the type Opaque")
		}
		if err := choose(field+"."+name+".type", &value.Type, "Opaque", "Opaque"); err != nil {
			return err
		}
	}
	return nil
}

func invalid(field, format string, args ...any) error {
	e := resource.Invalidf("InvalidRunRequest", format, args...)
	e.Message = field + ": " + e.Message
	return e.At(field)
}

// builder is how builders name the platform: linux or linux/architecture.
func (p Platform) builder() string {
	parts := []string{strings.ToLower(p.OS)}
	for _, part := range []string{p.Architecture, p.Variant} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}
