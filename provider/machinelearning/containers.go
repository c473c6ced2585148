package machinelearning

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Asset is the properties of an asset's container: what all versions of an entity or feature set share.
type Asset struct {
	Description   string            `json:"description,omitempty"`
	Tags          map[string]string `json:"tags,omitempty"`
	Properties    map[string]string `json:"properties,omitempty"`
	IsArchived    bool              `json:"isArchived"`
	LatestVersion string            `json:"latestVersion,omitempty"`
	NextVersion   string            `json:"nextVersion,omitempty"`
}

// assetContainer declares the container type of versioned assets. A version makes its container when there is none.
func assetContainer(t resource.Type, permissions string) arm.Type {
	return arm.Define(arm.Spec[Asset]{
		Type: t, PermissionType: permissions, APIVersions: apiVersions, Strict: true, Name: assetName, NameRule: assetNameRule,
		Validate: func(_ context.Context, change *arm.Change[Asset]) error {
			p := &change.Next.Properties
			p.LatestVersion, p.NextVersion = "", "1"
			if change.Prev != nil {
				p.LatestVersion, p.NextVersion = change.Prev.Properties.LatestVersion, change.Prev.Properties.NextVersion
			}
			return nil
		},
		Listed: assetsListed(func(r *arm.Resource[Asset]) listed {
			p := r.Properties
			return listed{"", p.Description, p.Tags, p.IsArchived}
		}),
	})
}

// withContainer gives the op that makes or updates the container of a new version.
func withContainer(ctx context.Context, call *arm.Call, version resource.ID, t resource.Type) ([]store.Op, error) {
	id := version.Parent()
	doc, err := call.Manager.Store.Get(ctx, id.Key())
	absent := resource.KindOf(err) == resource.NotFound
	if err != nil && !absent {
		return nil, err
	}
	r := arm.Resource[Asset]{ID: id, Name: id.Name(), Type: t}
	if !absent {
		if err := json.Unmarshal(doc.Body, &r); err != nil {
			return nil, err
		}
	}
	r.SystemData = call.SystemData(r.SystemData)
	r.Properties.LatestVersion = version.Name()
	r.Properties.NextVersion = nextVersion(r.Properties.NextVersion, version.Name())
	put, err := arm.Document(&r)
	put.IfMatch = doc.ETag
	if absent {
		put.IfMatch = store.None
	}
	return []store.Op{put}, err
}

// nextVersion is one more than the highest number seen.
func nextVersion(known, made string) string {
	next, _ := strconv.Atoi(known) // "" and words count as 0
	if n, err := strconv.Atoi(made); err == nil && n+1 > next {
		next = n + 1
	}
	return strconv.Itoa(max(next, 1))
}
