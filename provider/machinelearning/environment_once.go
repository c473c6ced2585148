package machinelearning

import (
	"context"
	"encoding/json"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

const (
	// buildLease is how long the right to begin a build lasts unless it is renewed, so that nobody waits for a server that has died.
	buildLease = 15 * time.Second
	// buildLeaseTick is how often somebody who waits looks again.
	buildLeaseTick = 50 * time.Millisecond
	buildLeaseKind = "machinelearning/buildleases"
)

// lease is the right to begin the build of one content in one workspace.
type lease struct {
	Until time.Time `json:"until"`
}

// once runs begin while nobody else begins a build of the same content in the workspace, so that whoever comes second finds what the first
// one began. The right is a document: it holds for every server of the store.
func (b *building) once(ctx context.Context, hash string, begin func() error) error {
	st, key, clock := b.call.Manager.Store, b.workspace.ID.Key()+"#build-"+hash, b.call.Manager.Clock
	take := func(ifMatch string) (store.Document, error) {
		body, err := json.Marshal(lease{clock().Add(buildLease)})
		if err != nil {
			return store.Document{}, err
		}
		docs, err := st.Apply(ctx, store.Put{Key: key, Kind: buildLeaseKind, Body: body, IfMatch: ifMatch})
		if err != nil {
			return store.Document{}, err
		}
		return docs[0], nil
	}
	held, err := b.await(ctx, key, take)
	if err != nil {
		return err
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(buildLease / 3)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if renewed, err := take(held.ETag); err == nil {
					held = renewed
				}
			}
		}
	}()
	err = begin()
	close(stop)
	<-stopped
	// Who cannot give it back lets it run out.
	_, _ = st.Apply(context.WithoutCancel(ctx), store.Delete{Key: key, IfMatch: held.ETag})
	return err
}

// await waits until the lease is nobody's, and takes it.
func (b *building) await(ctx context.Context, key string, take func(ifMatch string) (store.Document, error)) (store.Document, error) {
	tick := time.NewTicker(buildLeaseTick)
	defer tick.Stop()
	for {
		free := store.None
		doc, err := b.call.Manager.Store.Get(ctx, key)
		switch {
		case err == nil:
			var other lease
			if err := json.Unmarshal(doc.Body, &other); err != nil {
				return doc, err
			}
			if free = ""; b.call.Manager.Clock().After(other.Until) {
				free = doc.ETag
			}
		case resource.KindOf(err) != resource.NotFound:
			return doc, err
		}
		if free != "" {
			taken, err := take(free)
			if kind := resource.KindOf(err); err == nil || (kind != resource.PreconditionFailed && kind != resource.Conflict) {
				return taken, err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return doc, ctx.Err()
		case <-tick.C:
		}
	}
}
