package containerregistry

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// stored reads all registries.
func stored(ctx context.Context, st store.Store) ([]*arm.Resource[Registry], error) {
	docs, err := st.List(ctx, store.Query{Kind: registryType.Key()})
	if err != nil {
		return nil, err
	}
	out := make([]*arm.Resource[Registry], 0, len(docs))
	for _, doc := range docs {
		r := &arm.Resource[Registry]{}
		if err := json.Unmarshal(doc.Body, r); err != nil {
			return nil, resource.Errorf(resource.Internal, "DocumentCorrupt", "the document %s cannot be read", doc.Key).Because(err)
		}
		r.ETag = doc.ETag
		out = append(out, r)
	}
	return out, nil
}

// usedPorts are the ports that registries have.
func usedPorts(ctx context.Context, st store.Store) (map[int]bool, error) {
	all, err := stored(ctx, st)
	ports := map[int]bool{}
	for _, r := range all {
		if own := r.Properties.Own; own != nil && own.Port != 0 {
			ports[own.Port] = true
		}
	}
	return ports, err
}

// freePort finds a port that no registry has, whether it listens there at the moment or not; 0 where registries have host
// names.
func (d Deps) freePort(ctx context.Context, used map[int]bool) (int, error) {
	for range 100 {
		port, err := d.Port(ctx)
		if err != nil || port == 0 || !used[port] {
			return port, err
		}
	}
	return 0, resource.Errorf(resource.Unavailable, "NoFreePort", "no free port was found for the registry; stop what holds the ports, or run the server with a domain, where registries need none")
}

// complete gives registries that lack it what the server keeps for itself: all of it when an earlier version stored them, a
// port when they were made while registries had host names.
func (d Deps) complete(ctx context.Context, st store.Store) error {
	all, err := stored(ctx, st)
	if err != nil {
		return err
	}
	used, err := usedPorts(ctx, st)
	if err != nil {
		return err
	}
	for _, r := range all {
		own := r.Properties.Own
		if own != nil && own.Port != 0 {
			continue
		}
		port, err := d.freePort(ctx, used)
		if err != nil {
			return err
		}
		if own != nil && port == 0 {
			continue // registries have host names
		}
		if own == nil {
			own = &Own{Key: uuid.NewString()}
			if err := d.admin(r.ID, own, r.Properties.AdminUserEnabled); err != nil {
				return err
			}
			r.Properties.Own = own
		}
		own.Port, used[port] = port, true
		if _, err := readSKU(r.SKU); err != nil {
			r.SKU = sku{Name: "Basic", Tier: "Basic"}.raw()
		}
		put, err := arm.Document(r)
		if err != nil {
			return err
		}
		put.IfMatch = r.ETag
		if _, err := st.Apply(ctx, put); err != nil {
			return err
		}
	}
	return nil
}
