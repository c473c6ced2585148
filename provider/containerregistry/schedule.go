package containerregistry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/image"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// RunJob is the kind of the durable jobs that carry runs out; their body is the id of a Run.
const RunJob = "containerregistry/run"

const (
	keptRuns       = 1000 // newest runs of a registry that are kept, of those to archive and of the others each
	maxWaitingRuns = 100  // runs of a registry that have not ended
	// A build is tried a few times when the server is at fault. Its end is recorded however long that takes.
	runAttempts    = 3
	recordAttempts = 100
)

// uploadURL makes a place for the source of a build.
func (d Deps) uploadURL(ctx context.Context, _ *arm.Call, r *arm.Resource[Registry]) (any, error) {
	own, err := ownOf(r)
	if err != nil {
		return nil, err
	}
	url, path, err := d.Source(ctx, own.Key)
	if err != nil {
		return nil, err
	}
	return map[string]any{"uploadUrl": url, "relativePath": path}, nil
}

func ownOf(r *arm.Resource[Registry]) (*Own, error) {
	if r.Properties.Own == nil {
		return nil, resource.Errorf(resource.Internal, "RegistryIncomplete", "the registry %s lacks what the server keeps of it", r.ID)
	}
	return r.Properties.Own, nil
}

// schedule queues a build. Everything that can be known to be wrong is refused before.
func (d Deps) schedule(ctx context.Context, call *arm.Call, r *arm.Resource[Registry]) (any, error) {
	request, err := readRequest(call.Body)
	if err != nil {
		return nil, err
	}
	own, err := ownOf(r)
	if err != nil {
		return nil, err
	}
	actors, secrets, err := d.actors(ctx, call, r, request)
	if err != nil {
		return nil, err
	}
	if _, err := d.ReadSource(ctx, own.Key, request.SourceLocation, time.Minute); err != nil {
		if resource.KindOf(err) == resource.NotFound {
			return nil, invalid("sourceLocation", "nothing was uploaded to %q; upload the source to the URL that listBuildSourceUploadUrl gives, and name its relativePath", request.SourceLocation)
		}
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		run, err := d.newRun(ctx, call, r, request, actors, secrets)
		if err != nil {
			return nil, err
		}
		shown, err := d.enqueue(ctx, call, r, run)
		// Somebody else scheduled at the same time and has the same number.
		if resource.KindOf(err) != resource.Conflict || attempt == 50 {
			return shown, err
		}
	}
}

// enqueue makes the run and its job in one change.
func (d Deps) enqueue(ctx context.Context, call *arm.Call, r *arm.Resource[Registry], run *arm.Resource[Run]) (any, error) {
	put, err := arm.Document(run)
	if err != nil {
		return nil, err
	}
	put.IfMatch = store.None
	body, err := json.Marshal(run.ID)
	if err != nil {
		return nil, err
	}
	written, err := call.Manager.Store.Apply(ctx, put,
		store.Enqueue{Kind: RunJob, Body: body, MaxAttempts: recordAttempts}, store.Expect{Key: r.ID.Key(), IfMatch: store.Any})
	if resource.KindOf(err) == resource.PreconditionFailed {
		return nil, resource.NotFoundf("ResourceNotFound", "The registry '%s' was deleted meanwhile.", r.Name)
	}
	if err != nil {
		return nil, err
	}
	return call.Manager.Present(ctx, call, written[0])
}

// secretsOf are what a run needs and nobody is shown.
type secretsOf struct {
	Arguments map[int]string      `json:"arguments,omitempty"` // values, by position
	Passwords map[string][]string `json:"passwords,omitempty"` // user name and password, by host
}

func sealedForRun(id resource.ID, key string) []byte {
	return []byte(id.Key() + "/" + key + "/secrets")
}

// newRun makes the document of the next run of a registry.
func (d Deps) newRun(ctx context.Context, call *arm.Call, r *arm.Resource[Registry], request *buildRequest, actors map[string]Actor, secrets secretsOf) (*arm.Resource[Run], error) {
	sequence, err := d.makeRoom(ctx, call, r)
	if err != nil {
		return nil, err
	}
	id := r.ID.Child("runs", fmt.Sprintf("cr%d", sequence))
	now := call.Manager.Clock().UTC()
	own := r.Properties.Own
	loginServer := d.LoginServer(strings.ToLower(r.Name), own.Port)
	work := &Work{
		Sequence: sequence, Key: own.Key, Submitter: call.Who.ID, Source: request.SourceLocation, Dockerfile: request.DockerFilePath, Target: request.Target,
		Push: request.push(), NoCache: request.NoCache, Timeout: request.timeout(), Actors: actors,
	}
	known := facts{run: id.Name(), registry: strings.ToLower(r.Name), loginServer: loginServer, now: now, platform: *request.Platform}
	if work.Images, err = images(request, known, actors); err != nil {
		return nil, err
	}
	secrets.Arguments = map[int]string{}
	for i, a := range request.Arguments {
		if a.IsSecret {
			secrets.Arguments[i], a.Value = a.Value, ""
		}
		work.Arguments = append(work.Arguments, image.Argument{Name: a.Name, Value: a.Value, Secret: a.IsSecret})
	}
	text, err := json.Marshal(secrets)
	if err != nil {
		return nil, err
	}
	if work.Secrets, err = d.Sealer.Seal(text, sealedForRun(id, own.Key)); err != nil {
		return nil, err
	}
	return &arm.Resource[Run]{ID: id, Name: id.Name(), Type: runType, SystemData: call.SystemData(nil), Properties: Run{
		RunID: id.Name(), Status: runQueued, RunType: "QuickBuild", CreateTime: &now, LastUpdatedTime: &now, Platform: request.Platform,
		AgentConfiguration: request.AgentConfiguration, SourceRegistryAuth: request.Credentials.SourceRegistry.LoginMode,
		CustomRegistries: slices.Sorted(maps.Keys(request.Credentials.CustomRegistries)), IsArchiveEnabled: request.IsArchiveEnabled, Work: work,
	}}, nil
}

// images gives the full names of the images. Each is in a registry that the run may sign in to.
func images(request *buildRequest, known facts, actors map[string]Actor) ([]string, error) {
	var out []string
	for _, given := range request.ImageNames {
		text, err := known.expand(given)
		if err != nil {
			return nil, err
		}
		ref, err := readReference(text, known.loginServer)
		if err != nil {
			return nil, err
		}
		if _, may := actors[ref.host]; !may && (request.push() || ref.host != known.loginServer) {
			return nil, invalid("imageNames", "%q is in the registry %s, to which the run does not sign in; leave the host out to push to %s, or name an identity for it in credentials.customRegistries", given, ref.host, known.loginServer)
		}
		if full := ref.String(); !slices.Contains(out, full) {
			out = append(out, full)
		}
	}
	return out, nil
}

// actors finds out as whom the run speaks to each registry. Without a word about it, it speaks to its own one as that one's
// own identity.
func (d Deps) actors(ctx context.Context, call *arm.Call, r *arm.Resource[Registry], request *buildRequest) (map[string]Actor, secretsOf, error) {
	secrets := secretsOf{Passwords: map[string][]string{}}
	out := map[string]Actor{}
	own := d.LoginServer(strings.ToLower(r.Name), r.Properties.Own.Port)
	if source := request.Credentials.SourceRegistry; source.LoginMode != "None" && !names(request.Credentials.CustomRegistries, own) {
		name := source.Identity
		if name == "" {
			name = systemIdentity
		}
		found, err := actor(ctx, call, r, "credentials.sourceRegistry.identity", name)
		if err != nil {
			return nil, secrets, err
		}
		out[own] = found
	}
	servers, err := d.loginServers(ctx, call.Manager.Store)
	if err != nil {
		return nil, secrets, err
	}
	for _, given := range slices.Sorted(maps.Keys(request.Credentials.CustomRegistries)) {
		custom, host := request.Credentials.CustomRegistries[given], strings.ToLower(given)
		field := "credentials.customRegistries[" + given + "]"
		if _, twice := out[host]; twice {
			return nil, secrets, invalid(field, "the host is named twice")
		}
		if custom.Identity == "" {
			out[host], secrets.Passwords[host] = Actor{}, []string{custom.UserName.Value, custom.Password.Value}
			continue
		}
		// A token that a stranger is sent is one that the stranger has.
		if !slices.Contains(servers, host) && !d.trusts(host) {
			return nil, secrets, invalid(field+".identity", "%s is no registry of this server, nor one that its operator trusts, and tokens of identities are sent to no others; give a userName and password, or have the server started with --trust-registry %s", host, host)
		}
		if out[host], err = actor(ctx, call, r, field+".identity", custom.Identity); err != nil {
			return nil, secrets, err
		}
	}
	return out, secrets, nil
}

func (d Deps) trusts(host string) bool {
	return slices.ContainsFunc(d.TrustedHosts, func(trusted string) bool { return strings.EqualFold(trusted, host) })
}

func names(custom map[string]*customRegistry, host string) bool {
	for given := range custom {
		if strings.EqualFold(given, host) {
			return true
		}
	}
	return false
}

// loginServers are the addresses of this server's registries.
func (d Deps) loginServers(ctx context.Context, st store.Store) ([]string, error) {
	all, err := stored(ctx, st)
	var out []string
	for _, r := range all {
		if own := r.Properties.Own; own != nil {
			out = append(out, d.LoginServer(strings.ToLower(r.Name), own.Port))
		}
	}
	return out, err
}

// makeRoom removes the oldest runs beyond those that are kept, and gives the number of the next one.
func (d Deps) makeRoom(ctx context.Context, call *arm.Call, r *arm.Resource[Registry]) (int, error) {
	docs, err := call.Manager.Below(ctx, r.ID, runType)
	if err != nil {
		return 0, err
	}
	next, waiting := 1, 0
	ended := map[bool][]*arm.Resource[Run]{} // by whether they are to be archived
	for _, doc := range docs {
		run, err := readRun(doc)
		if err != nil {
			return 0, err
		}
		next = max(next, run.Properties.Work.Sequence+1)
		if run.Properties.ended() {
			ended[run.Properties.IsArchiveEnabled] = append(ended[run.Properties.IsArchiveEnabled], run)
		} else {
			waiting++
		}
	}
	if waiting >= maxWaitingRuns {
		return 0, resource.Errorf(resource.TooManyRequests, "TooManyRuns", "The registry %s has %d runs that have not ended, and takes no more; wait for some, or cancel them: alvara acr task runs -r %s", r.Name, waiting, r.Name)
	}
	for _, runs := range ended {
		slices.SortFunc(runs, func(a, b *arm.Resource[Run]) int { return b.Properties.Work.Sequence - a.Properties.Work.Sequence })
		for _, old := range runs[min(len(runs), keptRuns-1):] {
			work := old.Properties.Work
			if err := d.ForgetRun(ctx, work.Key, old.Name, work.Source); err != nil {
				return 0, err
			}
			if err := call.Manager.Remove(ctx, old.ID); err != nil && resource.KindOf(err) != resource.NotFound && resource.KindOf(err) != resource.Conflict {
				return 0, err
			}
		}
	}
	return next, nil
}
