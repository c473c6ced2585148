package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/alvara-ml/alvara/image/dockerfile"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/image/pull"
	"github.com/alvara-ml/alvara/resource"
)

// Source finds images. pull.Registries is one.
type Source interface {
	Resolve(ctx context.Context, reference string) (*pull.Image, error)
}

// Builder carries out plans. It may build several at once.
type Builder struct {
	Source Source
	Store  *layer.Store
	Cache  *Cache
	Runner Runner
	// Overlay says that the Runner stacks layers itself. Otherwise every RUN gets a copy of the tree, and its changes are
	// found by comparing.
	Overlay  bool
	Platform v1.Platform
}

// Request is one build.
type Request struct {
	Plan    *dockerfile.Plan
	Context layer.Tree
	// Epoch is the time that the image and its files have: the latest, for files that a command gave an earlier one.
	Epoch   time.Time
	NoCache bool
	Network bool
	// Secrets are values that no line of the log and no history has.
	Secrets []string
	Limits  Limits
	// Log gets the lines of the log, Progress how many steps are done; nil ones get nothing.
	Log      func(line string)
	Progress func(done, total int)
}

// Limits bound what steps may take; 0 does not, or leaves it to the Runner.
type Limits struct {
	MemoryBytes, Processes int64
	CPUs                   float64
	LayerBytes             int64 // what one ADD unpacks
	Entries                int
}

// Result is what a build made.
type Result struct {
	Image       v1.Image
	Bases       []*pull.Image // each once, in the plan's order
	Cached, Ran int           // steps that make layers
}

// built is a layer of a stage.
type built struct {
	diffID string
	layer  v1.Layer
	hold   func(ctx context.Context) (*layer.Held, error)
}

// state is a stage on its way.
type state struct {
	layers []built
	config *v1.ConfigFile
	oci    bool
}

func (s *state) diffIDs() []string {
	ids := make([]string, len(s.layers))
	for i, l := range s.layers {
		ids[i] = l.diffID
	}
	return ids
}

// session is one build under way.
type session struct {
	*Builder
	Request
	images map[string]*pull.Image
	steps  map[*dockerfile.Stage][]dockerfile.Step
	done   map[*dockerfile.Stage]*state
	held   map[string]*layer.Held
	mask   *strings.Replacer
	number int
	total  int
	result Result
}

// Build carries out a request. Everything that can be refused is, before the first step is done.
func (b *Builder) Build(ctx context.Context, r Request) (Result, error) {
	s := &session{Builder: b, Request: r, images: map[string]*pull.Image{}, steps: map[*dockerfile.Stage][]dockerfile.Step{},
		done: map[*dockerfile.Stage]*state{}, held: map[string]*layer.Held{}, mask: masker(r.Secrets)}
	defer func() {
		for _, held := range s.held {
			held.Release()
		}
	}()
	for _, warning := range r.Plan.Warnings {
		s.log("[Warning] %s", warning)
	}
	if err := s.resolve(ctx); err != nil {
		return Result{}, s.masked(err)
	}
	if err := s.evaluate(); err != nil {
		return Result{}, s.masked(err)
	}
	for _, stage := range r.Plan.Stages {
		if err := s.stage(ctx, stage); err != nil {
			if ctx.Err() != nil {
				return Result{}, ctx.Err()
			}
			return Result{}, s.masked(err)
		}
	}
	for _, name := range r.Plan.Unused() {
		s.log("[Warning] One or more build-args [%s] were not consumed", name)
	}
	image, err := assemble(s.done[r.Plan.Target])
	if err != nil {
		return Result{}, err
	}
	s.result.Image = image
	id, err := image.ConfigName()
	if err != nil {
		return Result{}, err
	}
	s.log("Successfully built %s", id.Hex[:12])
	return s.result, nil
}

// resolve asks for every image that the plan needs.
func (s *session) resolve(ctx context.Context) error {
	for _, name := range s.Plan.Images() {
		image, err := s.Source.Resolve(ctx, name)
		if err != nil {
			return err
		}
		s.images[name] = image
		s.result.Bases = append(s.result.Bases, image)
	}
	return nil
}

// evaluate expands all instructions.
func (s *session) evaluate() error {
	after := map[*dockerfile.Stage][]string{}
	for _, stage := range s.Plan.Stages {
		var env, triggers []string
		switch image := s.images[stage.BaseImage]; {
		case stage.Base != nil:
			env = after[stage.Base]
		case image != nil:
			env, triggers = image.Config.Config.Env, image.Config.Config.OnBuild
		}
		steps, ends, err := s.Plan.Evaluate(stage, env, triggers)
		if err != nil {
			return err
		}
		s.steps[stage], after[stage] = steps, ends
		s.total += 1 + len(steps)
	}
	return nil
}

func (s *session) stage(ctx context.Context, stage *dockerfile.Stage) error {
	s.announce(stage.Text)
	at, err := s.begin(stage)
	if err != nil {
		return err
	}
	s.log(" ---> %s", at.name())
	for _, step := range s.steps[stage] {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.announce(step.Text)
		if err := s.step(ctx, stage, at, step); err != nil {
			return err
		}
		s.log(" ---> %s", at.name())
	}
	s.done[stage] = at
	return nil
}

// name is what the log calls the present state: it changes with layers and configuration, like an image id.
func (s *state) name() string {
	image, err := assemble(s)
	if err == nil {
		if id, err := image.ConfigName(); err == nil {
			return id.Hex[:12]
		}
	}
	return "unknown"
}

func (s *session) begin(stage *dockerfile.Stage) (*state, error) {
	if stage.Base != nil {
		from := s.done[stage.Base]
		return &state{layers: slices.Clone(from.layers), config: from.config.DeepCopy(), oci: from.oci}, nil
	}
	if image := s.images[stage.BaseImage]; image != nil {
		return s.fromImage(image)
	}
	return &state{config: &v1.ConfigFile{
		Architecture: s.Platform.Architecture, OS: "linux", Created: v1.Time{Time: s.Epoch.UTC()},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
	}}, nil
}

func (s *session) fromImage(image *pull.Image) (*state, error) {
	kind, err := image.MediaType()
	if err != nil {
		return nil, err
	}
	at := &state{config: image.Config.DeepCopy(), oci: kind == types.OCIManifestSchema1}
	for i, l := range image.Layers {
		at.layers = append(at.layers, built{diffID: image.Config.RootFS.DiffIDs[i].String(), layer: l,
			hold: func(ctx context.Context) (*layer.Held, error) { return image.Hold(ctx, i) }})
	}
	c := at.config
	c.Created, c.Container, c.Config.OnBuild = v1.Time{Time: s.Epoch.UTC()}, "", nil
	c.Config.Hostname, c.Config.Image, c.History = "", "", slices.Clone(c.History)
	return at, nil
}

// folders gives a stage's unpacked layers, the lowest first. They stay until the build ends.
func (s *session) folders(ctx context.Context, at *state) ([]string, error) {
	var folders []string
	for _, l := range at.layers {
		held := s.held[l.diffID]
		if held == nil {
			var err error
			if held, err = l.hold(ctx); err != nil {
				return nil, err
			}
			s.held[l.diffID] = held
		}
		folders = append(folders, held.Folder)
	}
	return folders, nil
}

// add puts what a step made on top of a stage.
func (s *session) add(at *state, e entry, createdBy string) error {
	history := v1.History{Created: v1.Time{Time: s.Epoch.UTC()}, CreatedBy: s.mask.Replace(createdBy), Comment: "alvara", EmptyLayer: e.Entries == 0}
	at.config.History = append(at.config.History, history)
	if e.Entries == 0 {
		return nil
	}
	id, err := v1.NewHash(e.DiffID)
	if err != nil {
		return err
	}
	l := archived{made: e.Made, file: s.Cache.blob(e.Digest), kind: types.DockerLayer}
	if at.oci {
		l.kind = types.OCILayer
	}
	at.config.RootFS.DiffIDs = append(slices.Clone(at.config.RootFS.DiffIDs), id)
	at.layers = append(at.layers, built{diffID: e.DiffID, layer: l, hold: func(ctx context.Context) (*layer.Held, error) {
		return s.Store.Get(ctx, e.DiffID, l.Uncompressed)
	}})
	return nil
}

// change makes a layer of what do writes, unless the cache has it. key is all that the layer depends on beside those below.
func (s *session) change(ctx context.Context, at *state, key any, createdBy string, do func(upper, work string, below []string) error) error {
	name, err := keyOf(at.diffIDs(), key)
	if err != nil {
		return err
	}
	// Before the cache is asked: what was made of a base is for those whom the base's registry serves it to.
	below, err := s.folders(ctx, at)
	if err != nil {
		return err
	}
	if e, ok := s.Cache.find(name); ok && !s.NoCache {
		s.log(" ---> Using cache")
		s.result.Cached++
		return s.add(at, e, createdBy)
	}
	upper, work, remove, err := s.Store.Fresh()
	if err != nil {
		return err
	}
	defer remove()
	if err := do(upper, work, below); err != nil {
		return err
	}
	e, err := s.Cache.keep(name, func(archive io.Writer) (layer.Made, error) {
		return s.Store.Keep(ctx, upper, archive, layer.Packing{Clamp: s.Epoch})
	})
	if err != nil {
		return err
	}
	s.result.Ran++
	return s.add(at, e, createdBy)
}

func (s *session) announce(text string) {
	s.number++
	s.log("Step %d/%d : %s", s.number, s.total, text)
	if s.Progress != nil {
		s.Progress(s.number, s.total)
	}
}

func (s *session) log(format string, args ...any) {
	if s.Log != nil {
		s.Log(s.mask.Replace(fmt.Sprintf(format, args...)))
	}
}

// masker writes *** for secrets. The longest goes first: one may be part of another.
func masker(secrets []string) *strings.Replacer {
	secrets = slices.DeleteFunc(slices.Clone(secrets), func(v string) bool { return v == "" })
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, secret := range secrets {
		pairs = append(pairs, secret, "***")
	}
	return strings.NewReplacer(pairs...)
}

// masked takes secrets out of an error's message.
func (s *session) masked(err error) error {
	var known *resource.Error
	if len(s.Secrets) == 0 || !errors.As(err, &known) {
		return err
	}
	said := *known
	said.Message = s.mask.Replace(known.Message)
	said.Cause = errors.New(s.mask.Replace(err.Error()))
	return &said
}
