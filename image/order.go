// Package image builds container images from a Dockerfile and its context, as an identity. It owns the order of one
// build, the worker process that carries it out, and how the parts below it work together: buildcontext (the context),
// dockerfile (the plan), layer (file systems), build (steps, cache, the image), pull (registries as somebody). Who may
// order a build, and what becomes of its log, is the provider's affair; what runs inside RUN is job/sandbox's.
package image

import (
	"context"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/alvara-ml/alvara/resource"
)

// Order is one build. It is plain JSON: a worker process gets it as it is.
type Order struct {
	// Run names the build in messages and in the log.
	Run string `json:"run"`
	// Source is the context: a file of this machine (tar or tar.gz), or an https URL that is fetched without credentials
	// (a URL signed for reading).
	Source string `json:"source"`
	// Dockerfile is the path of the Dockerfile in the context; "" is Dockerfile.
	Dockerfile string `json:"dockerfile,omitempty"`
	// ContextPath is the folder of the context within the source; "" is all of it.
	ContextPath string `json:"contextPath,omitempty"`
	// Target is the stage to build; "" is the last one.
	Target string `json:"target,omitempty"`
	// Arguments are build arguments. A secret one is written as *** in the log, in the history and in messages.
	Arguments []Argument `json:"arguments,omitempty"`
	// Images are the full references (host/repository:tag) that the result gets. With Push they are pushed.
	Images []string `json:"images,omitempty"`
	Push   bool     `json:"push,omitempty"`
	// NoCache runs every step anew. The result has the same digest wherever the steps' own output is the same.
	NoCache bool `json:"noCache,omitempty"`
	// Platform is "", "linux" or os/architecture; another than this machine's is refused.
	Platform string `json:"platform,omitempty"`

	// Credentials say as whom a registry is spoken to, by its host[:port] as references write it. Hosts without an entry
	// are spoken to without any credential.
	Credentials map[string]Credential `json:"credentials,omitempty"`
	// OwnHosts are the hosts of this server's own registries; their word on what an identity may read is trusted, and the
	// tokens of identities may go there. TrustedHosts are others to which tokens of identities may go.
	OwnHosts     []string `json:"ownHosts,omitempty"`
	TrustedHosts []string `json:"trustedHosts,omitempty"`
	// CacheScope is the key of the registry that the build belongs to. Nothing of one scope's cache serves another's.
	CacheScope string `json:"cacheScope"`

	// Network gives RUN the machine's network; without it RUN has none.
	Network bool   `json:"network,omitempty"`
	Limits  Limits `json:"limits"`
}

// Argument is one build argument.
type Argument struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Secret bool   `json:"secret,omitempty"`
}

// Credential is one registry's: an identity, or a user name with a password.
type Credential struct {
	// ClientID is the identity's client id as the managed-identity endpoint takes it; "system" is the run's default one.
	ClientID string `json:"clientId,omitempty"`
	// Principal is the identity's object id, for messages only.
	Principal string `json:"principal,omitempty"`
	// Username and Password are sent to this host alone.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

// Limits bound a build. A zero field takes its default, which stands beside it.
type Limits struct {
	Time          time.Duration `json:"time,omitempty"`          // of the whole build; 1 h
	MemoryBytes   int64         `json:"memoryBytes,omitempty"`   // of one RUN; 2 GiB
	CPUs          float64       `json:"cpus,omitempty"`          // of one RUN; all
	Processes     int64         `json:"processes,omitempty"`     // of one RUN; 1024
	ContextBytes  int64         `json:"contextBytes,omitempty"`  // unpacked context; 4 GiB
	LayerBytes    int64         `json:"layerBytes,omitempty"`    // one unpacked layer; 16 GiB
	Entries       int           `json:"entries,omitempty"`       // files of the context or of a layer; 1,000,000
	DockerfileMax int64         `json:"dockerfileMax,omitempty"` // bytes of the Dockerfile; 1 MiB
}

// WithDefaults fills what is zero.
func (l Limits) WithDefaults() Limits {
	fill(&l.Time, time.Hour)
	fill(&l.MemoryBytes, 2<<30)
	fill(&l.Processes, 1024)
	fill(&l.ContextBytes, 4<<30)
	fill(&l.LayerBytes, 16<<30)
	fill(&l.Entries, 1_000_000)
	fill(&l.DockerfileMax, 1<<20)
	return l
}

func fill[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Result is what a build made.
type Result struct {
	// Digest is the manifest's, sha256:…; the same for all names.
	Digest string `json:"digest"`
	// ImageID is the configuration's digest.
	ImageID string `json:"imageId"`
	// Pushed are the names, as the order has them, that the registries acknowledged.
	Pushed []string `json:"pushed,omitempty"`
	// Bases are the images that stages began with or copied from, in the Dockerfile's order, each once.
	Bases []Base `json:"bases,omitempty"`
	// CachedSteps and RunSteps count the instructions that made or could have made a layer.
	CachedSteps int `json:"cachedSteps"`
	RunSteps    int `json:"runSteps"`
	// Isolation names what was around RUN on this machine.
	Isolation []string `json:"isolation,omitempty"`
}

// Base is an image that a build needed.
type Base struct {
	Reference string `json:"reference"` // as the Dockerfile means it, with host and tag
	Digest    string `json:"digest"`    // what the registry has under it: an index's, where it has one
}

// Builder carries out orders. Faults that a repetition does not cure are *resource.Error: Invalid (the order, the
// Dockerfile with its line, the context, a RUN that failed), Unsupported (what is named is not offered here), Forbidden
// (which identity lacks what on which registry), Unauthenticated (an identity gets no token), TooLarge (a limit). It may
// be called concurrently. Log gets the lines of the build's log, Progress how far a step is; both may be nil.
type Builder interface {
	Build(ctx context.Context, order Order, report Report) (Result, error)
}

// Report is where a build says what it does.
type Report struct {
	Log      func(line string)
	Progress func(stage string, done, total int64)
}

// Check finds what is wrong with an order before anything is done.
func (o Order) Check() error {
	switch {
	case o.Source == "":
		return resource.Invalidf("InvalidBuild", "The build has no source; name an archive with the context.").At("source")
	case o.CacheScope == "" || strings.ContainsAny(o.CacheScope, "/\\") || strings.HasPrefix(o.CacheScope, "."):
		return resource.Invalidf("InvalidBuild", "The cache scope is %q; it must be the key of the registry that the build belongs to.", o.CacheScope).At("cacheScope")
	case o.Push && len(o.Images) == 0:
		return resource.Invalidf("InvalidBuild", "The build is to be pushed and names no image; name one, such as app:v1.").At("images")
	}
	for _, argument := range o.Arguments {
		if argument.Name == "" || strings.ContainsAny(argument.Name, "=\x00") {
			return resource.Invalidf("InvalidBuild", "The build argument %q has no proper name.", argument.Name).At("arguments")
		}
	}
	for _, image := range o.Images {
		if _, err := name.NewTag(image, name.StrictValidation); err != nil {
			return resource.Invalidf("InvalidReference", "The image name %q is none; write host/repository:tag.", image).At("images")
		}
	}
	return nil
}
