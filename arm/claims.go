package arm

import (
	"context"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// A claim is a document beside a resource's own, written and removed with it in one change, that makes a rule between
// resources hold when several are written at once:
//
//	/references{key of what is needed}/#{key of what needs it}   it cannot be deleted
//	/unique/{type}/{text}                                        no other resource of the type has the text
//	/deleted{key}/#{revision}                                    it is gone, and what it had outside is being forgotten
const (
	referenceKind = "arm/references"
	uniqueKind    = "arm/unique"
	deletedKind   = "arm/deleted"
)

func referencesBelow(key string) string { return "/references" + key + "/" }

func deletedBelow(key string) string { return "/deleted" + key + "/" }

// claims gives the claims of a resource: each claim's key with its kind.
func (d *definition[P]) claims(call *Call, r *Resource[P]) map[string]string {
	out := map[string]string{}
	if r == nil {
		return out
	}
	if d.References != nil {
		for _, id := range d.References(call, r) {
			if !id.IsRoot() {
				out[referencesBelow(id.Key())+"#"+d.key(r.ID)] = referenceKind
			}
		}
	}
	texts := []string{}
	if d.GlobalName {
		texts = append(texts, r.ID.Name())
	}
	if d.Unique != nil {
		texts = append(texts, d.Unique(r))
	}
	for _, text := range texts {
		if text != "" {
			out["/unique/"+d.Type.Key()+"/"+strings.ToLower(text)] = uniqueKind
		}
	}
	return out
}

// claimOps gives the ops that take the claims of next and let go those of prev that next has no more. What is newly
// referred to must be there.
func (d *definition[P]) claimOps(ctx context.Context, call *Call, next, prev *Resource[P]) ([]store.Op, error) {
	have, want := d.claims(call, prev), d.claims(call, next)
	var ops []store.Op
	for key, kind := range want {
		if have[key] != "" {
			continue
		}
		if kind == referenceKind {
			needed, _, _ := strings.Cut(strings.TrimPrefix(key, "/references"), "/#")
			ops = append(ops, store.Expect{Key: needed, IfMatch: store.Any})
		}
		ops = append(ops, store.Put{Key: key, Kind: kind, Body: []byte("{}"), IfMatch: store.None})
	}
	for key := range have {
		if want[key] != "" {
			continue
		}
		_, err := call.Manager.Store.Get(ctx, key)
		switch {
		case err == nil:
			ops = append(ops, store.Delete{Key: key})
		case resource.KindOf(err) != resource.NotFound: // what the server itself wrote has no claims
			return nil, err
		}
	}
	return ops, nil
}

// checkUnused refuses to delete what lies at and below a key while a resource that stays needs any of it.
func (m *Manager) checkUnused(ctx context.Context, key string, going map[string]bool) error {
	docs, err := m.Store.List(ctx, store.Query{Kind: referenceKind, Prefix: referencesBelow(key)})
	if err != nil {
		return err
	}
	for _, doc := range docs {
		needed, by, _ := strings.Cut(strings.TrimPrefix(doc.Key, "/references"), "/#")
		if !going[by] {
			return resource.Conflictf("ResourceInUse", "The resource '%s' is in use by '%s'; delete or change that first.", needed, by)
		}
	}
	return nil
}
