package content

import (
	"context"
	"time"
)

// survey is what a registry's documents were at the beginning of a collection, and what follows from them. Manifests never
// change what they name, so it stays right for those that are still there.
type survey struct {
	manifests []found[manifestDocument]
	blobs     []found[blobDocument]
	keep      []bool    // of manifests: has a tag or a lock, or is young
	near      [][]int   // of manifests: those that must stay when this one stays
	unused    time.Time // blobs touched later stay
	started   time.Time // when touches began to be noted
	key       func(repo, digest string) string

	repositories map[string]found[repositoryDocument]
}

func (r *Registry) survey(ctx context.Context, options CollectOptions, now time.Time) (survey, error) {
	v := survey{unused: now.Add(-options.Grace), started: r.engine.started, key: r.blobKey}
	var err error
	if v.manifests, err = list[manifestDocument](ctx, r.engine, kindManifest, prefix(r.key)+"manifests/"); err != nil {
		return v, err
	}
	if v.blobs, err = list[blobDocument](ctx, r.engine, kindBlob, prefix(r.key)+"blobs/"); err != nil {
		return v, err
	}
	repositories, err := list[repositoryDocument](ctx, r.engine, kindRepository, r.repositoryKey(""))
	if err != nil {
		return v, err
	}
	v.repositories = map[string]found[repositoryDocument]{}
	for _, repository := range repositories {
		v.repositories[repository.body.Name] = repository
	}
	v.keep, v.near = make([]bool, len(v.manifests)), make([][]int, len(v.manifests))
	at := map[string]int{}
	for i, manifest := range v.manifests {
		at[manifest.key] = i
	}
	for i, manifest := range v.manifests {
		m := manifest.body
		parent := v.repositories[m.Repository]
		since := later(m.Untagged, m.Created)
		v.keep[i] = options.Retention == 0 || len(m.Tags) > 0 || m.Attributes.locked() || !parent.present() || parent.body.Attributes.locked() ||
			since.After(now.Add(-options.Retention))
		for _, child := range m.Children {
			if j, ok := at[r.manifestKey(m.Repository, child)]; ok {
				v.near[i] = append(v.near[i], j)
			}
		}
		if m.Subject == "" {
			continue
		}
		if j, ok := at[r.manifestKey(m.Repository, m.Subject)]; ok { // a referrer and its subject stay together
			v.near[i] = append(v.near[i], j)
			v.near[j] = append(v.near[j], i)
		}
	}
	return v, nil
}

// decide tells which manifests and blobs nothing needs: noted is what pushes have relied on since the survey, touched
// when they last relied on a blob before.
func (v survey) decide(noted map[string]bool, touched func(key string) time.Time) (manifests []found[manifestDocument], blobs []found[blobDocument]) {
	kept := make([]bool, len(v.manifests))
	var visit func(i int)
	visit = func(i int) {
		if kept[i] {
			return
		}
		kept[i] = true
		for _, j := range v.near[i] {
			visit(j)
		}
	}
	for i, manifest := range v.manifests {
		if v.keep[i] || noted[manifest.key] {
			visit(i)
		}
	}
	needed := map[string]bool{}
	for i, manifest := range v.manifests {
		if !kept[i] {
			manifests = append(manifests, manifest)
			continue
		}
		for _, blob := range manifest.body.Blobs {
			needed[v.key(manifest.body.Repository, blob)] = true
		}
	}
	for _, blob := range v.blobs {
		last := later(later(blob.body.Since, touched(blob.key)), v.started)
		if !needed[blob.key] && !noted[blob.key] && !last.After(v.unused) {
			blobs = append(blobs, blob)
		}
	}
	return manifests, blobs
}

// locked tells whether a thing is to stay as it is.
func (a Attributes) locked() bool { return !a.DeleteEnabled || !a.WriteEnabled }
