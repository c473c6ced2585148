package image

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/alvara-ml/alvara/image/build"
	"github.com/alvara-ml/alvara/image/dockerfile"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/image/pull"
	"github.com/alvara-ml/alvara/resource"
)

// Local builds in this process. It needs no daemon.
type Local struct {
	// Dir holds the unpacked layers (shared by all builds) and a cache per scope. Several processes may share it.
	Dir string
	// HTTP speaks to registries and fetches sources; nil is http.DefaultTransport.
	HTTP http.RoundTripper
	// Token gives an access token for registries of an identity, by its client id or "system".
	Token   func(ctx context.Context, clientID string) (string, error)
	Runner  build.Runner
	Overlay bool // the Runner stacks layers
	Owners  layer.Owners
	// Isolation names what the Runner puts around commands.
	Isolation []string
	Clock     func() time.Time
}

var _ Builder = (*Local)(nil)

// Build implements Builder.
func (l *Local) Build(ctx context.Context, order Order, report Report) (Result, error) {
	return Bounded(ctx, order, func(ctx context.Context, order Order) (Result, error) { return l.build(ctx, order, report) })
}

func (l *Local) build(ctx context.Context, order Order, report Report) (Result, error) {
	store := &layer.Store{Dir: filepath.Join(l.Dir, "layers"), Owners: l.Owners, MaxBytes: order.Limits.LayerBytes, MaxEntries: order.Limits.Entries, Clock: l.Clock}
	folder, remove, err := store.Temp()
	if err != nil {
		return Result{}, err
	}
	defer remove()
	source, err := Unpack(ctx, l.HTTP, order, folder)
	if err != nil {
		return Result{}, err
	}
	defer source.Close()
	options, secrets := arguments(order)
	epoch, err := epochOf(options.Arguments)
	if err != nil {
		return Result{}, err
	}
	plan, err := dockerfile.Parse(source.Dockerfile, options)
	if err != nil {
		return Result{}, err
	}
	registries := order.Registries(l.HTTP, l.Token)
	registries.Store, registries.Proofs = store, filepath.Join(l.Dir, "proofs")
	registries.Platform = v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	images, err := reach(ctx, registries, plan, order)
	if err != nil {
		return Result{}, err
	}
	builder := &build.Builder{
		Source: images, Store: store, Cache: &build.Cache{Dir: filepath.Join(l.Dir, "cache", order.CacheScope)},
		Runner: l.Runner, Overlay: l.Overlay, Platform: registries.Platform,
	}
	request := build.Request{
		Plan: plan, Context: source.Folder, Epoch: epoch, NoCache: order.NoCache, Network: order.Network, Secrets: secrets, Log: report.Log,
		Limits: build.Limits{MemoryBytes: order.Limits.MemoryBytes, Processes: order.Limits.Processes, CPUs: order.Limits.CPUs,
			LayerBytes: order.Limits.LayerBytes, Entries: order.Limits.Entries},
	}
	if report.Progress != nil {
		request.Progress = func(done, total int) { report.Progress("build", int64(done), int64(total)) }
	}
	if report.Log != nil && len(l.Isolation) > 0 {
		report.Log("Isolation of commands: " + strings.Join(l.Isolation, ", "))
	}
	made, err := builder.Build(ctx, request)
	if err != nil {
		return Result{}, err
	}
	return l.finish(ctx, order, registries, made, report)
}

// finish pushes what was built, and says what it is.
func (l *Local) finish(ctx context.Context, order Order, registries *pull.Registries, made build.Result, report Report) (Result, error) {
	digest, err := made.Image.Digest()
	if err != nil {
		return Result{}, err
	}
	id, err := made.Image.ConfigName()
	if err != nil {
		return Result{}, err
	}
	result := Result{Digest: digest.String(), ImageID: id.String(), CachedSteps: made.Cached, RunSteps: made.Ran, Isolation: l.Isolation}
	for _, base := range made.Bases {
		found := Base{Reference: base.Reference, Digest: base.Digest}
		if !slices.Contains(result.Bases, found) {
			result.Bases = append(result.Bases, found)
		}
	}
	say := func(format string, args ...any) {
		if report.Log != nil {
			report.Log(fmt.Sprintf(format, args...))
		}
	}
	for _, image := range order.Images {
		say("Successfully tagged %s", image)
	}
	if !order.Push {
		return result, nil
	}
	for i, image := range order.Images {
		say("Pushing %s", image)
		if err := registries.Push(ctx, image, made.Image); err != nil {
			return Result{}, err
		}
		_, tag, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
		say("%s: digest: %s", tag, result.Digest)
		result.Pushed = append(result.Pushed, image)
		if report.Progress != nil {
			report.Progress("push", int64(i+1), int64(len(order.Images)))
		}
	}
	return result, nil
}

func arguments(order Order) (dockerfile.Options, []string) {
	options := dockerfile.Options{Arguments: map[string]string{}, Secret: map[string]bool{}, Target: order.Target, Platform: order.Platform}
	var secrets []string
	for _, argument := range order.Arguments {
		options.Arguments[argument.Name] = argument.Value
		if argument.Secret {
			options.Secret[argument.Name] = true
			secrets = append(secrets, argument.Value)
		}
	}
	return options, secrets
}

// epochOf is the time that files and image get: SOURCE_DATE_EPOCH, as reproducible builds have it, or 1970.
func epochOf(arguments map[string]string) (time.Time, error) {
	text := arguments["SOURCE_DATE_EPOCH"]
	if text == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 || seconds > 253402300799 {
		return time.Time{}, resource.Invalidf("InvalidBuild", "The build argument SOURCE_DATE_EPOCH is %q; it must be seconds since 1970.", text).At("arguments")
	}
	return time.Unix(seconds, 0).UTC(), nil
}
