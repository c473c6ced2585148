package machinelearning

import (
	"context"
	"maps"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// AssetVersion is what the versions of all assets share. Description, tags, properties and stage may change; what the asset
// consists of never does.
type AssetVersion struct {
	Lifecycle
	Description string            `json:"description,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Properties  texts             `json:"properties,omitempty"`
	IsAnonymous bool              `json:"isAnonymous"`
}

func (v *AssetVersion) shared() *AssetVersion { return v }

// assetContent is what a type of assets adds to AssetVersion.
type assetContent interface {
	shared() *AssetVersion
	// settle checks the content of a new version and sets defaults.
	settle() error
	// uri names the place of the content, and the field that has it.
	uri() (field, text string)
	// fixed names the fields that never change, with their values, in the order in which a change is refused.
	fixed() []fixedField
}

// fixedField is a field of a version's content, with its value as a text.
type fixedField struct {
	name  string
	given bool // by a write; what a write leaves out stays
	value string
}

// assetKind declares a type of assets: containers, and versions whose content lies in a storage container. V is
// the properties of a version.
type assetKind[V any, C interface {
	*V
	assetContent
}] struct {
	container, version resource.Type
	// made completes a new version, once it is known to be well formed, and where its content lies.
	made func(ctx context.Context, change *arm.Change[V], at place) error
}

// types are the resource types of the assets.
func (k assetKind[V, C]) types(d Deps) []arm.Type {
	listedAs := func(r *arm.Resource[V]) listed {
		p := C(&r.Properties).shared()
		return listed{p.Stage, p.Description, p.Tags, p.archived()}
	}
	return []arm.Type{
		assetContainer(k.container, string(k.container)),
		arm.Define(arm.Spec[V]{
			Type: k.version, APIVersions: apiVersions, Strict: true, ImplicitParent: true,
			Name: assetVersion, NameRule: assetVersionRule,
			EmptyAbsent: func(call *arm.Call) bool { return call.QueryValue("hash") != "" },
			Validate:    func(ctx context.Context, change *arm.Change[V]) error { return k.validate(ctx, d, change) },
			Commit: func(ctx context.Context, change *arm.Change[V]) ([]store.Op, error) {
				if change.Prev != nil {
					return nil, nil
				}
				return withContainer(ctx, change.Call, change.Next.ID, k.container)
			},
			Listed: func(call *arm.Call) (func(*arm.Resource[V]) bool, error) {
				rest, err := assetsListed(listedAs)(call)
				if err != nil {
					return nil, err
				}
				hashed := hashesListed(call)
				return func(r *arm.Resource[V]) bool { return rest(r) && hashed.in(C(&r.Properties).shared().Properties) }, nil
			},
			Actions: []arm.Action[V]{{
				Name: "startPendingUpload", Permission: string(k.version) + "/write", Absent: true,
				Run: func(ctx context.Context, call *arm.Call, r *arm.Resource[V]) (any, error) {
					return startUpload(ctx, call, r.ID)
				},
			}},
		}),
	}
}

// hashesListed reads hash and hashVersion of a list's query: clients find with them what they have uploaded before.
func hashesListed(call *arm.Call) pairs {
	out := pairs{}
	for parameter, property := range map[string]string{"hash": "hash_sha256", "hashVersion": "hash_version"} {
		if value := call.QueryValue(parameter); value != "" {
			out[property] = &value
		}
	}
	return out
}

func (k assetKind[V, C]) validate(ctx context.Context, d Deps, change *arm.Change[V]) error {
	next := C(&change.Next.Properties)
	name := change.Next.ID.Parent().Name()
	if !assetName.MatchString(name) {
		return resource.Invalidf("InvalidResourceName", "%q is no name for one of %s: %s", name, k.container, assetNameRule).At("name")
	}
	if strings.EqualFold(change.Next.Name, latest) {
		return resource.Invalidf("InvalidResourceName", "%q is the word for the newest version; name the version otherwise", change.Next.Name).At("name")
	}
	if change.Prev == nil {
		next.shared().Properties = keepDerived(next.shared().Properties, nil)
		if err := next.settle(); err != nil {
			return err
		}
		at, err := k.check(ctx, d, change)
		if err == nil && k.made != nil {
			err = k.made(ctx, change, at)
		}
		if err != nil {
			return err
		}
		return next.shared().settle(nil)
	}
	old := C(&change.Prev.Properties)
	before := old.fixed()
	for i, field := range next.fixed() {
		if field.given && field.value != before[i].value {
			return resource.Conflictf("VersionImmutable", "properties.%s of %s:%s is %q and cannot be changed; create a new version.", field.name, name, change.Next.Name, before[i].value).At("properties." + field.name)
		}
	}
	kept := *next.shared()
	change.Next.Properties = change.Prev.Properties
	kept.IsAnonymous = old.shared().IsAnonymous
	kept.Properties = keepDerived(kept.Properties, old.shared().Properties)
	*C(&change.Next.Properties).shared() = kept
	return C(&change.Next.Properties).shared().settle(&old.shared().Lifecycle)
}

// check makes sure that the place of a version's content can be named: its datastore is there, or the job that wrote it, which the
// caller may read. Whether something lies there is not asked.
func (k assetKind[V, C]) check(ctx context.Context, d Deps, change *arm.Change[V]) (place, error) {
	field, text := C(&change.Next.Properties).uri()
	if err := checkAssetURI(field, text); err != nil {
		return place{}, err
	}
	at, err := d.resolveAsset(ctx, change.Call, change.Next.ID.Parent().Parent(), text)
	if e, ok := resource.AsError(err); ok && e.Kind == resource.Invalid {
		err = resource.Invalidf(e.Code, "%s: %s", field, e.Message).At(field)
	}
	return at, err
}

// derived begins the names of properties that only the server writes.
const derived = "alvara."

// keepDerived gives the properties that a write asks for, and of those that only the server writes the ones that are there.
func keepDerived(next, prev map[string]string) map[string]string {
	out := maps.Clone(next)
	maps.DeleteFunc(out, func(name, _ string) bool { return strings.HasPrefix(name, derived) })
	for name, value := range prev {
		if strings.HasPrefix(name, derived) {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = value
		}
	}
	return out
}
