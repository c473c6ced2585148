package machinelearning

import (
	"context"
	"encoding/json"
	"maps"
	"strings"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/materialize"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// FeatureSetVersion is the properties of a version of a feature set.
type FeatureSetVersion struct {
	Lifecycle
	Description             string                   `json:"description,omitempty"`
	Tags                    map[string]string        `json:"tags,omitempty"`
	Properties              map[string]string        `json:"properties,omitempty"`
	IsAnonymous             bool                     `json:"isAnonymous,omitempty"`
	Entities                []string                 `json:"entities"` // azureml:{name}:{version}, or ids
	Specification           Specification            `json:"specification"`
	MaterializationSettings *MaterializationSettings `json:"materializationSettings,omitempty"`
	// OfflinePath is where the version's table lies in the offline container. The service sets it.
	OfflinePath string `json:"offlinePath,omitempty"`
}

// Specification says how the features are computed. Content holds the files of the specification's folder as they were
// when the version was registered: what is computed cannot change behind the version's back. A client that sends only
// Path has the files read from there, with the caller's rights.
type Specification struct {
	Path    string            `json:"path,omitempty"`
	Content map[string]string `json:"content,omitempty"`
}

// MaterializationSettings say where a version is materialized. StoreType is None, Offline, Online or OnlineAndOffline.
type MaterializationSettings struct {
	StoreType          string            `json:"storeType,omitempty"`
	Schedule           map[string]any    `json:"schedule,omitempty"`
	Notification       map[string]any    `json:"notification,omitempty"`
	Resource           *ComputeResource  `json:"resource,omitempty"`
	SparkConfiguration map[string]string `json:"sparkConfiguration,omitempty"`
	// OnlineTTL is how long a row is served online, counted from its event time: an ISO 8601 duration such as P30D.
	OnlineTTL string `json:"onlineTtl,omitempty"`
}

// ComputeResource is the size of the machine that materializes.
type ComputeResource struct {
	InstanceType string `json:"instanceType,omitempty"`
}

// maxSpecification bounds the files of a specification together, in bytes.
const maxSpecification = 1 << 20

// Materialized tells into which stores the version is materialized.
func (v FeatureSetVersion) Materialized() (offline, online bool) {
	if v.MaterializationSettings == nil {
		return false, false
	}
	t := v.MaterializationSettings.StoreType
	return t == "Offline" || t == "OnlineAndOffline", t == "Online" || t == "OnlineAndOffline"
}

// Files gives the specification's files.
func (v FeatureSetVersion) Files() map[string][]byte {
	files := make(map[string][]byte, len(v.Specification.Content))
	for name, text := range v.Specification.Content {
		files[name] = []byte(text)
	}
	return files
}

// FeatureSets declares feature sets.
func (d Deps) FeatureSets() arm.Type { return assetContainer(featureSetType, featureSetPermissions) }

// FeatureSetVersions declares the versions of feature sets. Their schema never changes; stage, tags, description and
// materialization settings do (FS-07, FS-11, FS-12).
func (d Deps) FeatureSetVersions() arm.Type {
	return arm.Define(arm.Spec[FeatureSetVersion]{
		Type: featureSetVersion, PermissionType: featureSetPermissions, APIVersions: apiVersions, Strict: true, ImplicitParent: true,
		Name: assetVersion, NameRule: assetVersionRule,
		Validate: d.validateFeatureSet,
		Commit: func(ctx context.Context, change *arm.Change[FeatureSetVersion]) ([]store.Op, error) {
			if change.Prev != nil {
				return nil, nil
			}
			return withContainer(ctx, change.Call, change.Next.ID, featureSetType)
		},
		Deleting: forgetLedger,
		Deleted: func(ctx context.Context, r *arm.Resource[FeatureSetVersion]) error {
			return d.DropOnline(ctx, r.ID)
		},
		References: referencesOfSet,
		Listed: assetsListed(func(r *arm.Resource[FeatureSetVersion]) listed {
			p := r.Properties
			return listed{p.Stage, p.Description, p.Tags, p.archived()}
		}),
		Actions: []arm.Action[FeatureSetVersion]{
			{Name: "backfill", Permission: featureSetPermissions + "/action", Run: d.backfill},
			{Name: "dataIntervals", Method: "GET", Permission: featureSetPermissions + "/read", Run: dataIntervals},
		},
	})
}

func (d Deps) validateFeatureSet(ctx context.Context, change *arm.Change[FeatureSetVersion]) error {
	p := &change.Next.Properties
	p.OfflinePath = materialize.OfflinePrefix(change.Next.ID) + uuid.NewString() + "/"
	if name := change.Next.ID.Parent().Name(); !assetName.MatchString(name) {
		return resource.Invalidf("InvalidResourceName", "%q is no name for a feature set: %s", name, assetNameRule).At("name")
	}
	var before *Lifecycle
	if change.Prev != nil {
		old := change.Prev.Properties
		before, p.OfflinePath = &old.Lifecycle, old.OfflinePath
		if err := keepSchema(change, p, old); err != nil {
			return err
		}
	} else if err := d.checkNew(ctx, change); err != nil {
		return err
	}
	if err := checkSettings(p.MaterializationSettings); err != nil {
		return err
	}
	if offline, online := p.Materialized(); offline || online {
		if err := checkMaterializable(ctx, change); err != nil {
			return err
		}
	}
	return p.settle(before)
}

// keepSchema refuses an update that changes what a version computes, and fills in what an update leaves out.
func keepSchema(change *arm.Change[FeatureSetVersion], p *FeatureSetVersion, old FeatureSetVersion) error {
	if p.Entities == nil {
		p.Entities = old.Entities
	}
	if len(p.Specification.Content) == 0 && (p.Specification.Path == "" || p.Specification.Path == old.Specification.Path) {
		p.Specification = old.Specification
	}
	what := ""
	switch {
	case !sameEntities(change.Next.ID, p.Entities, old.Entities):
		what = "entities"
	case len(p.Specification.Content) == 0 || !maps.Equal(p.Specification.Content, old.Specification.Content):
		what = "specification"
	}
	if what != "" {
		return resource.Conflictf("VersionImmutable", "The %s of %s:%s cannot be changed; create a new version.", what, change.Next.ID.Parent().Name(), change.Next.Name).At("properties." + what)
	}
	p.Specification.Path, p.Entities = old.Specification.Path, old.Entities
	return nil
}

func sameEntities(set resource.ID, a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, errX := entityID(set, a[i])
		y, errY := entityID(set, b[i])
		if errX != nil || errY != nil || !x.Equal(y) {
			return false
		}
	}
	return true
}

func (d Deps) checkNew(ctx context.Context, change *arm.Change[FeatureSetVersion]) error {
	p := &change.Next.Properties
	if len(p.Specification.Content) == 0 {
		files, err := d.readSpecification(ctx, change.Call, change.Next.ID, p.Specification.Path)
		if err != nil {
			return err
		}
		p.Specification.Content = files
	}
	size := 0
	for _, text := range p.Specification.Content {
		size += len(text)
	}
	if size > maxSpecification {
		return resource.Invalidf("SpecificationTooLarge", "The specification's files have %d bytes together; at most %d are allowed.", size, maxSpecification).At("properties.specification")
	}
	parsed, err := spec.Parse(p.Files())
	if err != nil {
		return err
	}
	if parsed.SQL != "" {
		if err := d.CheckSQL(ctx, parsed.SQL); err != nil {
			return err
		}
	}
	if err := ownDatastore(parsed.Source, change.Next.ID, "source.path"); err != nil {
		return err
	}
	if parsed.Source.Datastore != "" {
		exists, err := change.Manager.Exists(ctx, storeOf(change.Next.ID).Child("datastores", parsed.Source.Datastore))
		if err != nil {
			return err
		}
		if !exists {
			return resource.Invalidf("DatastoreNotFound", "%s: source.path names the datastore %q, which this feature store does not have", spec.FileName, parsed.Source.Datastore).At("source.path")
		}
	}
	return checkEntities(ctx, change, parsed)
}

// storeOf is the feature store of anything below it.
func storeOf(id resource.ID) resource.ID {
	for !id.IsRoot() && !id.Type().Is(workspaceType) {
		id = id.Parent()
	}
	return id
}

// entityID reads a reference to an entity version: azureml:{name}:{version}, or an id.
func entityID(set resource.ID, text string) (resource.ID, error) {
	trimmed := strings.TrimPrefix(text, "azureml:")
	if strings.HasPrefix(trimmed, "/") {
		id, err := resource.ParseID(trimmed)
		if err == nil && id.Type().Is(entityVersionType) {
			return id, nil
		}
	} else if name, version, ok := strings.Cut(trimmed, ":"); ok && assetName.MatchString(name) && assetVersion.MatchString(version) {
		return storeOf(set).Child("featurestoreEntities", name).Child("versions", version), nil
	}
	return resource.Root, resource.Invalidf("InvalidEntityReference", "properties.entities names %q; azureml:{entity}:{version} was expected", text).At("properties.entities")
}

// referencesOfSet: a version needs its entities, and the datastore that its source is in.
func referencesOfSet(_ *arm.Call, r *arm.Resource[FeatureSetVersion]) []resource.ID {
	var out []resource.ID
	for _, text := range r.Properties.Entities {
		if id, err := entityID(r.ID, text); err == nil {
			out = append(out, id)
		}
	}
	if parsed, _, err := r.Properties.Parsed(); err == nil && parsed.Source.Datastore != "" {
		out = append(out, storeOf(r.ID).Child("datastores", parsed.Source.Datastore))
	}
	return out
}

func checkSettings(m *MaterializationSettings) error {
	if m == nil {
		return nil
	}
	canonical := ""
	for _, t := range []string{"None", "Offline", "Online", "OnlineAndOffline"} {
		if strings.EqualFold(m.StoreType, t) {
			canonical = t
		}
	}
	if m.StoreType != "" && canonical == "" {
		return resource.Invalidf("InvalidStoreType", "properties.materializationSettings.storeType is %q; None, Offline, Online or OnlineAndOffline was expected", m.StoreType).At("properties.materializationSettings.storeType")
	}
	m.StoreType = canonical
	if m.OnlineTTL != "" {
		if ttl, err := spec.ParseISODuration(m.OnlineTTL); err != nil || ttl <= 0 {
			return resource.Invalidf("InvalidOnlineTtl", "properties.materializationSettings.onlineTtl is %q; an ISO 8601 duration such as P30D or PT12H was expected", m.OnlineTTL).At("properties.materializationSettings.onlineTtl")
		}
	}
	if m.Schedule == nil {
		return nil
	}
	frequency, _ := m.Schedule["frequency"].(string)
	if interval, ok := m.Schedule["interval"].(float64); !ok || interval < 1 || interval != float64(int(interval)) {
		return resource.Invalidf("InvalidSchedule", "properties.materializationSettings.schedule.interval is %v; a whole number from 1 was expected", m.Schedule["interval"]).At("properties.materializationSettings.schedule.interval")
	}
	switch strings.ToLower(frequency) {
	case "minute", "hour", "day", "week", "month":
		return nil
	}
	return resource.Invalidf("InvalidSchedule", "properties.materializationSettings.schedule.frequency is %q; Hour or Day was expected", frequency).At("properties.materializationSettings.schedule.frequency")
}

// checkMaterializable makes sure that the store has where to materialize to and somebody to do it.
func checkMaterializable(ctx context.Context, change *arm.Change[FeatureSetVersion]) error {
	r, err := readStore(ctx, change.Call, storeOf(change.Next.ID))
	if err != nil {
		return err
	}
	if !complete(r.Properties) {
		return resource.Invalidf("UserError", "The feature store %s is not fully provisioned: it lacks an offline store or a materialization identity. Repeat its creation.", r.Name).At("properties.materializationSettings")
	}
	return nil
}

func readStore(ctx context.Context, call *arm.Call, id resource.ID) (*arm.Resource[Workspace], error) {
	doc, err := call.Manager.Store.Get(ctx, id.Key())
	if err != nil {
		return nil, err
	}
	r := &arm.Resource[Workspace]{}
	return r, json.Unmarshal(doc.Body, r)
}

// ownDatastore refuses a path by way of another workspace's datastore: who may change that one could redirect the set.
func ownDatastore(source spec.Source, set resource.ID, field string) error {
	if store := storeOf(set); !source.Workspace.IsRoot() && !source.Workspace.Equal(store) {
		return resource.Invalidf("DatastoreNotFound", "%s names a datastore of %s; only the datastores of the feature store %s itself can be used, or the path of the container, such as wasbs://…", field, source.Workspace, store.Name()).At(field)
	}
	return nil
}
