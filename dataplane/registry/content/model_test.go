package content_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

// The model knows these contents and no others.
var (
	modelRepos = []string{"one", "two/x"}
	modelTags  = []string{"a", "A", "b"}
	modelBlobs = []string{"{}", "layer 1", "layer 2"}
	modelImage = []string{
		image("{}", nil, ""),
		image("{}", []string{"layer 1"}, ""),
		image("{}", []string{"layer 1", "layer 2"}, sum(image("{}", nil, ""))), // refers to the first one
	}
	modelIndex = []string{index(modelImage[0]), index(modelImage[1], index(modelImage[0]))}
)

// model is what a registry holds, in the most naive way.
type model struct {
	repos map[string]*modelRepo
}

type modelRepo struct {
	exists    bool // has had a manifest
	locked    bool
	blobs     map[string]time.Time // digest → last touched
	manifests map[string]*modelManifest
	tags      map[string]string
	frozen    map[string]bool // tags that are locked
}

type modelManifest struct {
	locked   bool
	untagged time.Time
}

type parts struct {
	blobs, children []string
	subject         string
}

func partsOf(manifest string) parts {
	switch slices.Index(append(slices.Clone(modelImage), modelIndex...), manifest) {
	case 0:
		return parts{blobs: []string{sum("{}")}}
	case 1:
		return parts{blobs: []string{sum("{}"), sum("layer 1")}}
	case 2:
		return parts{blobs: []string{sum("{}"), sum("layer 1"), sum("layer 2")}, subject: sum(modelImage[0])}
	case 3:
		return parts{children: []string{sum(modelImage[0])}}
	}
	return parts{children: []string{sum(modelImage[1]), sum(modelIndex[0])}}
}

var modelAll = append(slices.Clone(modelImage), modelIndex...)

func byDigest(digest string) string {
	return modelAll[slices.IndexFunc(modelAll, func(m string) bool { return sum(m) == digest })]
}

func (m *model) repo(name string) *modelRepo {
	if m.repos[name] == nil {
		m.repos[name] = &modelRepo{blobs: map[string]time.Time{}, manifests: map[string]*modelManifest{}, tags: map[string]string{}, frozen: map[string]bool{}}
	}
	return m.repos[name]
}

func (r *modelRepo) tagged(digest string) bool {
	return slices.Contains(slices.Collect(maps.Values(r.tags)), digest)
}

// collect is Collect with a grace of an hour and a retention of two, or of none.
func (m *model) collect(now time.Time, retention time.Duration) {
	for _, r := range m.repos {
		kept := map[string]bool{}
		for d, manifest := range r.manifests {
			if retention == 0 || r.tagged(d) || manifest.locked || r.locked || manifest.untagged.After(now.Add(-retention)) {
				kept[d] = true
			}
		}
		for grown := true; grown; { // until nothing more follows
			before := len(kept)
			for d := range r.manifests {
				p := partsOf(byDigest(d))
				for _, child := range p.children {
					if kept[d] && r.manifests[child] != nil {
						kept[child] = true
					}
				}
				if p.subject != "" && r.manifests[p.subject] != nil && (kept[d] || kept[p.subject]) {
					kept[d], kept[p.subject] = true, true
				}
			}
			grown = len(kept) > before
		}
		maps.DeleteFunc(r.manifests, func(d string, _ *modelManifest) bool { return !kept[d] })
		maps.DeleteFunc(r.blobs, func(d string, touched time.Time) bool {
			for manifest := range r.manifests {
				if slices.Contains(partsOf(byDigest(manifest)).blobs, d) {
					return false
				}
			}
			return !touched.After(now.Add(-time.Hour))
		})
	}
}

func (m *model) usage() (used int64) {
	sizes := map[string]int{}
	for _, r := range m.repos {
		for _, text := range modelBlobs {
			if _, ok := r.blobs[sum(text)]; ok {
				sizes[sum(text)] = len(text)
			}
		}
		for d := range r.manifests {
			sizes[d] = len(byDigest(d))
		}
	}
	for _, size := range sizes {
		used += int64(size)
	}
	return used
}

// Any sequence of operations does to the engine what it does to the model.
func TestModel(t *testing.T) {
	for name, driver := range map[string]struct {
		open func(testing.TB) *world
		runs int // syncs take their time
	}{"memory": {inMemory, 100}, "disk": {onDisk, 10}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs := 0
			rapid.Check(t, func(rt *rapid.T) {
				if runs++; runs > driver.runs || testing.Short() && runs > driver.runs/4 {
					return
				}
				w := driver.open(t)
				w.t = fatal{t, rt}
				s := &sequence{world: w, model: &model{repos: map[string]*modelRepo{}}, rt: rt}
				rt.Repeat(map[string]func(*rapid.T){
					"": s.check, "blob": s.blob, "stat": s.stat, "mount": s.mount, "put": s.put, "delete manifest": s.deleteManifest,
					"delete tag": s.deleteTag, "delete blob": s.deleteBlob, "delete repository": s.deleteRepository,
					"lock tag": s.lockTag, "lock manifest": s.lockManifest, "lock repository": s.lockRepository,
					"collect": s.collect, "restart": s.restart,
				})
			})
		})
	}
}

// fatal is a test whose failures are rapid's, so that it can look for a shorter sequence.
type fatal struct {
	testing.TB
	rt *rapid.T
}

func (f fatal) Helper()                   {}
func (f fatal) Fatal(args ...any)         { f.rt.Fatal(args...) }
func (f fatal) Fatalf(s string, a ...any) { f.rt.Fatalf(s, a...) }

type sequence struct {
	*world
	model *model
	rt    *rapid.T
}

func (s *sequence) anyRepo(rt *rapid.T) (string, *modelRepo) {
	name := rapid.SampledFrom(modelRepos).Draw(rt, "repository")
	return name, s.model.repo(name)
}

// outcome compares an error's code with the one that the model expects, "" for none.
func (s *sequence) outcome(rt *rapid.T, err error, want string) {
	code := ""
	if e, ok := resource.AsError(err); ok {
		code = e.Code
	} else if err != nil {
		rt.Fatal(err)
	}
	if code != want {
		rt.Fatalf("got %v, the model says %q", err, want)
	}
}

func (s *sequence) blob(rt *rapid.T) {
	name, r := s.anyRepo(rt)
	body := rapid.SampledFrom(modelBlobs).Draw(rt, "blob")
	_, err := s.tryBlob(name, body)
	if r.locked {
		s.outcome(rt, err, "DENIED")
		return
	}
	s.outcome(rt, err, "")
	r.blobs[sum(body)] = s.clock.Now()
}

func (s *sequence) stat(rt *rapid.T) {
	name, r := s.anyRepo(rt)
	d := sum(rapid.SampledFrom(modelBlobs).Draw(rt, "blob"))
	_, err := s.StatBlob(s.ctx, name, d)
	if _, ok := r.blobs[d]; !ok {
		s.outcome(rt, err, "BLOB_UNKNOWN")
		return
	}
	s.outcome(rt, err, "")
	r.blobs[d] = s.clock.Now()
}

func (s *sequence) mount(rt *rapid.T) {
	name, r := s.anyRepo(rt)
	from, source := s.anyRepo(rt)
	d := sum(rapid.SampledFrom(modelBlobs).Draw(rt, "blob"))
	_, err := s.MountBlob(s.ctx, name, from, d)
	_, there := source.blobs[d]
	switch {
	case r.locked:
		s.outcome(rt, err, "DENIED")
	case !there:
		s.outcome(rt, err, "BLOB_UNKNOWN")
	default:
		s.outcome(rt, err, "")
		r.blobs[d], source.blobs[d] = s.clock.Now(), s.clock.Now()
	}
}

func (s *sequence) put(rt *rapid.T) {
	name, r := s.anyRepo(rt)
	body := rapid.SampledFrom(modelAll).Draw(rt, "manifest")
	reference := rapid.SampledFrom(append(slices.Clone(modelTags), sum(body))).Draw(rt, "reference")
	_, err := s.PutManifest(s.ctx, name, reference, "", []byte(body))
	if r.locked {
		s.outcome(rt, err, "DENIED")
		return
	}
	p := partsOf(body)
	complete := true
	for _, d := range p.blobs {
		if _, ok := r.blobs[d]; !ok {
			complete = false
			break // what comes after is not looked at
		}
		r.blobs[d] = s.clock.Now()
	}
	for _, d := range p.children {
		complete = complete && r.manifests[d] != nil
	}
	switch {
	case !complete:
		s.outcome(rt, err, "MANIFEST_BLOB_UNKNOWN")
		return
	case r.frozen[reference]:
		s.outcome(rt, err, "DENIED")
		return
	}
	s.outcome(rt, err, "")
	r.exists = true
	if r.manifests[sum(body)] == nil {
		r.manifests[sum(body)] = &modelManifest{untagged: s.clock.Now()}
	}
	if reference != sum(body) {
		before := r.tags[reference]
		r.tags[reference] = sum(body)
		if before != "" && before != sum(body) && !r.tagged(before) {
			r.manifests[before].untagged = s.clock.Now()
		}
	}
}

func (s *sequence) deleteManifest(rt *rapid.T) {
	name, r := s.anyRepo(rt)
	d := sum(rapid.SampledFrom(modelAll).Draw(rt, "manifest"))
	err := s.DeleteManifest(s.ctx, name, d)
	frozen := false
	for tag, digest := range r.tags {
		frozen = frozen || digest == d && r.frozen[tag]
	}
	switch {
	case r.locked:
		s.outcome(rt, err, "DENIED")
	case r.manifests[d] == nil:
		s.outcome(rt, err, "MANIFEST_UNKNOWN")
	case r.manifests[d].locked || frozen:
		s.outcome(rt, err, "DENIED")
	default:
		s.outcome(rt, err, "")
		delete(r.manifests, d)
		maps.DeleteFunc(r.tags, func(_, digest string) bool { return digest == d })
	}
}

func (s *sequence) deleteTag(rt *rapid.T) {
	name, r := s.anyRepo(rt)
	tag := rapid.SampledFrom(modelTags).Draw(rt, "tag")
	err := s.DeleteTag(s.ctx, name, tag)
	switch {
	case r.locked:
		s.outcome(rt, err, "DENIED")
	case r.tags[tag] == "":
		s.outcome(rt, err, "TAG_UNKNOWN")
	case r.frozen[tag]:
		s.outcome(rt, err, "DENIED")
	default:
		s.outcome(rt, err, "")
		d := r.tags[tag]
		delete(r.tags, tag)
		if !r.tagged(d) {
			r.manifests[d].untagged = s.clock.Now()
		}
	}
}

func (s *sequence) deleteBlob(rt *rapid.T) {
	name, r := s.anyRepo(rt)
	d := sum(rapid.SampledFrom(modelBlobs).Draw(rt, "blob"))
	err := s.DeleteBlob(s.ctx, name, d)
	used := false
	for manifest := range r.manifests {
		used = used || slices.Contains(partsOf(byDigest(manifest)).blobs, d)
	}
	_, there := r.blobs[d]
	switch {
	case r.locked:
		s.outcome(rt, err, "DENIED")
	case !there:
		s.outcome(rt, err, "BLOB_UNKNOWN")
	case used:
		s.outcome(rt, err, "UNSUPPORTED")
	default:
		s.outcome(rt, err, "")
		delete(r.blobs, d)
	}
}

func (s *sequence) deleteRepository(rt *rapid.T) {
	name, r := s.anyRepo(rt)
	if rapid.IntRange(0, 3).Draw(rt, "seldom") > 0 {
		return
	}
	_, err := s.DeleteRepository(s.ctx, name)
	held := r.locked
	for _, m := range r.manifests {
		held = held || m.locked
	}
	for tag := range r.tags {
		held = held || r.frozen[tag]
	}
	switch {
	case !r.exists:
		s.outcome(rt, err, "NAME_UNKNOWN")
	case held:
		s.outcome(rt, err, "DENIED")
	default:
		s.outcome(rt, err, "")
		delete(s.model.repos, name)
	}
}

func (s *sequence) lockTag(rt *rapid.T) {
	name, r := s.anyRepo(rt)
	tag, on := rapid.SampledFrom(modelTags).Draw(rt, "tag"), rapid.Bool().Draw(rt, "enabled")
	_, err := s.SetTagAttributes(s.ctx, name, tag, content.Changes{WriteEnabled: &on})
	if r.tags[tag] == "" {
		s.outcome(rt, err, "TAG_UNKNOWN")
		return
	}
	s.outcome(rt, err, "")
	r.frozen[tag] = !on
}

func (s *sequence) lockManifest(rt *rapid.T) {
	name, r := s.anyRepo(rt)
	d, on := sum(rapid.SampledFrom(modelAll).Draw(rt, "manifest")), rapid.Bool().Draw(rt, "enabled")
	_, err := s.SetManifestAttributes(s.ctx, name, d, content.Changes{DeleteEnabled: &on})
	if r.manifests[d] == nil {
		s.outcome(rt, err, "MANIFEST_UNKNOWN")
		return
	}
	s.outcome(rt, err, "")
	r.manifests[d].locked = !on
}

func (s *sequence) lockRepository(rt *rapid.T) {
	name, r := s.anyRepo(rt)
	on := rapid.IntRange(0, 3).Draw(rt, "mostly") > 0
	_, err := s.SetRepositoryAttributes(s.ctx, name, content.Changes{WriteEnabled: &on})
	if !r.exists {
		s.outcome(rt, err, "NAME_UNKNOWN")
		return
	}
	s.outcome(rt, err, "")
	r.locked = !on
}

func (s *sequence) collect(rt *rapid.T) {
	retention := rapid.SampledFrom([]time.Duration{0, 2 * time.Hour}).Draw(rt, "retention")
	s.clock.pass(time.Duration(rapid.IntRange(0, 90).Draw(rt, "minutes")) * time.Minute)
	before, err := s.Usage(s.ctx)
	s.must(err)
	foreseen, err := s.Collect(s.ctx, content.CollectOptions{Grace: time.Hour, Retention: retention, DryRun: true})
	s.must(err)
	report, err := s.Collect(s.ctx, content.CollectOptions{Grace: time.Hour, Retention: retention})
	s.must(err)
	s.model.collect(s.clock.Now(), retention)
	if report.Bytes != before-s.model.usage() || foreseen != report {
		rt.Fatalf("foreseen %+v, reported %+v, and usage fell by %d", foreseen, report, before-s.model.usage())
	}
}

// restart counts as a touch of everything: what was touched before is not known any more.
func (s *sequence) restart(*rapid.T) {
	s.world.restart()
	for _, r := range s.model.repos {
		for d := range r.blobs {
			r.blobs[d] = s.clock.Now()
		}
	}
}

// check compares all that can be seen.
func (s *sequence) check(rt *rapid.T) {
	used, err := s.Usage(s.ctx)
	s.must(err)
	if used != s.model.usage() {
		rt.Fatalf("usage is %d, the model says %d", used, s.model.usage())
	}
	var names []string
	for name, r := range s.model.repos {
		if r.exists {
			names = append(names, name)
		}
		s.checkRepository(rt, name, r)
	}
	slices.Sort(names)
	listed, err := s.Repositories(s.ctx, "", 0)
	s.must(err)
	if !slices.Equal(listed, names) {
		rt.Fatalf("repositories %v, the model says %v", listed, names)
	}
}

func (s *sequence) checkRepository(rt *rapid.T, name string, r *modelRepo) {
	for _, text := range modelBlobs {
		_, body, err := s.OpenBlob(s.ctx, name, sum(text))
		if err == nil {
			_ = body.Close()
		}
		if _, there := r.blobs[sum(text)]; there != (err == nil) {
			rt.Fatalf("blob %q of %s: %v, the model says %v", text, name, err, there)
		}
	}
	for _, tag := range modelTags {
		manifest, err := s.StatManifest(s.ctx, name, tag)
		if manifest.Digest != r.tags[tag] {
			rt.Fatalf("%s:%s is at %q, %v, the model says %q", name, tag, manifest.Digest, err, r.tags[tag])
		}
	}
	for _, text := range modelAll {
		d := sum(text)
		manifest, body, err := s.Manifest(s.ctx, name, d)
		if there := r.manifests[d] != nil; there != (err == nil) || there && string(body) != text {
			rt.Fatalf("manifest %s of %s: %v, the model says %v", d, name, err, there)
		}
		var tags, referrers []string
		for tag, digest := range r.tags {
			if digest == d {
				tags = append(tags, tag)
			}
		}
		slices.Sort(tags)
		if err == nil && !slices.Equal(tags, manifest.Tags) {
			rt.Fatalf("manifest %s has the tags %v, the model says %v", d, manifest.Tags, tags)
		}
		for other := range r.manifests {
			if partsOf(byDigest(other)).subject == d {
				referrers = append(referrers, other)
			}
		}
		listed, err := s.Referrers(s.ctx, name, d, "")
		s.must(err)
		if len(listed) != len(referrers) || len(listed) == 1 && listed[0].Digest != referrers[0] {
			rt.Fatalf("referrers of %s: %v, the model says %v", d, fmt.Sprint(listed), referrers)
		}
	}
}
