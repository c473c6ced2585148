package arm

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// deletedJob is the kind of the durable jobs that carry Deleted out; their body is the key of a claim of deletedKind.
const deletedJob = "arm/deleted"

// forgottenAttempts is how often Deleted is tried, for some hours.
const forgottenAttempts = 60

// gone is what the claim of a deleted resource holds.
type gone struct {
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// forget gives the ops that begin the Deleted job.
func forget(doc store.Document) ([]store.Op, error) {
	body, err := json.Marshal(gone{Kind: doc.Kind, Body: doc.Body})
	if err != nil {
		return nil, err
	}
	key := deletedBelow(doc.Key) + "#" + doc.ETag
	job, err := json.Marshal(key)
	return []store.Op{
		store.Put{Key: key, Kind: deletedKind, Body: body, IfMatch: store.None},
		store.Enqueue{Kind: deletedJob, Body: job, MaxAttempts: forgottenAttempts},
	}, err
}

func (m *Manager) runDeleted(ctx context.Context, job store.Job) error {
	var key string
	if err := json.Unmarshal(job.Body, &key); err != nil {
		return store.Fatal{Err: err}
	}
	doc, err := m.Store.Get(ctx, key)
	if resource.KindOf(err) == resource.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	var what gone
	if err := json.Unmarshal(doc.Body, &what); err != nil {
		return store.Fatal{Err: err}
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(key, "/deleted"), "/#")
	if t := m.types[what.Kind]; t != nil {
		if err := t.deleted(ctx, store.Document{Key: id, Kind: what.Kind, Body: what.Body}); err != nil {
			m.Log.Error("what a deleted resource had is not forgotten yet", "resource", id, "attempt", job.Attempt, "error", err)
			return err
		}
	}
	_, err = m.Store.Apply(ctx, store.Delete{Key: key})
	return err
}

func (d *definition[P]) deleted(ctx context.Context, doc store.Document) error {
	if d.Deleted == nil {
		return nil
	}
	r, err := d.decode(doc)
	if err != nil {
		return err
	}
	return d.Deleted(ctx, &r.Resource)
}

// awaitDeleted waits a while for the Deleted jobs of what was removed, so that whoever deletes a resource can make it anew
// at once. Should they take longer, the making is refused until they have ended.
func (m *Manager) awaitDeleted(ctx context.Context, roots []string) error {
	const most, pause = 5 * time.Second, 2 * time.Millisecond
	for waited := time.Duration(0); waited < most && len(roots) > 0; waited += pause {
		docs, err := m.Store.List(ctx, store.Query{Kind: deletedKind, Prefix: deletedBelow(roots[0]), Limit: 1})
		if err != nil {
			return err
		}
		if len(docs) == 0 {
			roots = roots[1:]
			continue
		}
		select {
		case <-ctx.Done():
			return nil // the deletion is committed all the same
		case <-time.After(pause):
		}
	}
	return nil
}
