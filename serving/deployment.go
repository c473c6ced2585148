package serving

import (
	"context"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// How often a revision that is being rolled out may fail before it is given up, and how long an instance must have been ready for
// its end not to count as one more failure in a row.
const (
	maxStarts = 3
	steady    = time.Minute
)

// deployment is one deployment. One goroutine, loop, decides what is begun and ended; others tell it what happened, and poke it.
type deployment struct {
	*Controller
	key   string
	poked chan struct{}
	turn  chan struct{} // of who rolls
	saves sync.Mutex    // held while the record is written, so that a later one is never replaced by an earlier one

	mu        sync.Mutex
	current   *Revision
	rolling   *rollout
	removed   bool
	gone      chan struct{} // closed when nothing is left; made by remove
	dead      bool          // nothing is left, and the deployment is no more among the controller's
	next      int
	instances []*instance
	pools     map[string]*pool // by the revision's ID
	waiting   []*waiter
	wanted    int // instances of the current revision
	scaler    scaler
	turned    int // which instance is looked at first
}

// rollout is a revision on its way.
type rollout struct {
	revision Revision
	failures int
	written  bool // as the one that serves
	done     chan error
}

// pool is what is known of the instances of a revision together.
type pool struct {
	failures int
	retryAt  time.Time
	message  string
}

func (d *deployment) pool(revision string) *pool {
	if d.pools[revision] == nil {
		d.pools[revision] = &pool{}
	}
	return d.pools[revision]
}

// restore makes the deployment of its record.
func (d *deployment) restore(record Record) {
	d.current, d.next, d.removed = record.Revision, record.Next, record.Removed
	if d.current != nil {
		d.wanted = d.current.Scale.Min
	}
	for _, kept := range record.Instances {
		i := newInstance(d, kept, nil)
		if i.adopted = true; d.current != nil && d.current.ID == kept.Revision {
			i.revision = d.current
		}
		d.instances = append(d.instances, i)
	}
}

// begin starts the loop.
func (d *deployment) begin() {
	d.running.Add(1)
	go func() {
		defer d.running.Done()
		d.mu.Lock()
		for _, i := range d.instances {
			i.begin()
		}
		d.mu.Unlock()
		d.loop()
	}()
}

func (d *deployment) poke() {
	select {
	case d.poked <- struct{}{}:
	default:
	}
}

func (d *deployment) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wake, over := d.reconcile()
		if over {
			return
		}
		timer.Reset(wake)
		select {
		case <-d.ctx.Done():
			return
		case <-d.poked:
		case <-timer.C:
		}
	}
}

// reconcile brings what there is nearer to what is wanted, and tells when to look again at the latest; over when nothing is left.
func (d *deployment) reconcile() (wake time.Duration, over bool) {
	wake = time.Minute
	d.mu.Lock()
	now := d.Clock()
	d.settleScale(now, &wake)
	if d.finishRoll() {
		d.mu.Unlock()
		d.save()
		d.mu.Lock()
		d.commitRoll()
	}
	begun := d.beginMissing(now, &wake)
	d.endSurplus()
	empty := len(d.instances) == 0 && d.current == nil && d.rolling == nil || d.removed && len(d.instances) == 0
	d.mu.Unlock()
	if empty {
		return wake, d.vanish()
	}
	if len(begun) == 0 {
		return wake, false
	}
	// What is begun is written down first: whoever comes later finds it.
	if !d.save() {
		d.forgetUnbegun(begun)
		return time.Second, false
	}
	for _, i := range begun {
		i.begin()
	}
	return wake, false
}

// targets are how many instances of each revision there are to be.
func (d *deployment) targets() map[string]int {
	out := map[string]int{}
	if d.removed {
		return out
	}
	if d.current != nil {
		out[d.current.ID] = d.wanted
	}
	if r := d.rolling; r != nil {
		out[r.revision.ID] = max(out[r.revision.ID], r.revision.Scale.Min)
	}
	return out
}

func (d *deployment) revision(id string) *Revision {
	if r := d.rolling; r != nil && r.revision.ID == id {
		return &r.revision
	}
	return d.current
}

// beginMissing makes the instances that are missing, and gives those that are to be begun.
func (d *deployment) beginMissing(now time.Time, wake *time.Duration) []*instance {
	var begun []*instance
	for id, want := range d.targets() {
		p := d.pool(id)
		have := 0
		for _, i := range d.instances {
			if i.record.Revision == id && i.state != draining {
				have++
			}
		}
		if have >= want {
			continue
		}
		if pause := p.retryAt.Sub(now); pause > 0 {
			*wake = min(*wake, pause)
			continue
		}
		for ; have < want; have++ {
			d.next++
			i := newInstance(d, InstanceRecord{Revision: id, Number: d.next}, d.revision(id))
			i.record.Order.ID = runID(d.key, d.next)
			d.instances = append(d.instances, i)
			begun = append(begun, i)
		}
	}
	return begun
}

// forgetUnbegun takes back instances that could not be written down.
func (d *deployment) forgetUnbegun(begun []*instance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range begun {
		d.drop(i)
	}
}

// endSurplus lets go what is not wanted: first what is not ready, then what came last.
func (d *deployment) endSurplus() {
	targets := d.targets()
	for _, ready := range []bool{true, false} { // the ready ones are counted first, so that the others are the surplus
		for _, i := range d.instances {
			if i.state == draining || (i.state == isReady) != ready {
				continue
			}
			if targets[i.record.Revision]--; targets[i.record.Revision] < 0 {
				i.drain()
			}
		}
	}
}

// finishRoll tells whether the revision that is being rolled out can serve.
func (d *deployment) finishRoll() bool {
	r := d.rolling
	if r == nil || d.removed {
		return false
	}
	ready := 0
	for _, i := range d.instances {
		if i.record.Revision == r.revision.ID && i.state == isReady {
			ready++
		}
	}
	return ready >= r.revision.Scale.Min
}

// commitRoll has the revision serve, once it is written down as the one that does. Requests get its instances from here on.
func (d *deployment) commitRoll() {
	r := d.rolling
	if r == nil || d.removed || !r.written {
		return // the roll was given up meanwhile, or could not be written down
	}
	d.rolling = nil
	d.pools = map[string]*pool{}
	for _, i := range d.instances {
		if i.record.Revision == d.current.ID {
			i.revision = d.current
		}
	}
	d.hand()
	r.done <- nil
}

// vanish forgets a deployment of which nothing is left.
func (d *deployment) vanish() bool {
	d.saves.Lock()
	defer d.saves.Unlock()
	if err := d.Records.Delete(d.ctx, d.key); err != nil {
		d.Log.Error("the record of a deployment could not be removed and will be tried again", "deployment", d.key, "error", err)
		return false
	}
	d.Controller.mu.Lock()
	defer d.Controller.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.instances) > 0 || d.rolling != nil && !d.removed {
		return false // somebody rolled meanwhile
	}
	delete(d.deployments, d.key)
	d.dead = true
	if d.gone != nil {
		close(d.gone)
	}
	d.hand()
	return true
}

// roll carries Roll out; again when the deployment went away before.
func (d *deployment) roll(ctx context.Context, next Revision) (again bool, err error) {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-d.turn }()
	r := &rollout{revision: next, done: make(chan error, 1)}
	d.mu.Lock()
	switch {
	case d.dead:
		d.mu.Unlock()
		return true, nil
	case d.removed:
		d.mu.Unlock()
		return false, removedMeanwhile()
	}
	d.rolling = r
	*d.pool(next.ID) = pool{}
	d.mu.Unlock()
	d.poke()
	select {
	case err := <-r.done:
		d.poke()
		return false, err
	case <-ctx.Done():
		d.giveUp(r)
		return false, ctx.Err()
	}
}

func (d *deployment) giveUp(r *rollout) {
	d.mu.Lock()
	if d.rolling == r {
		d.rolling = nil
	}
	d.mu.Unlock()
	d.poke()
}

func removedMeanwhile() error {
	return resource.Conflictf("DeploymentDeleted", "The deployment was deleted meanwhile.")
}

func (d *deployment) remove(ctx context.Context) error {
	d.mu.Lock()
	if d.dead {
		d.mu.Unlock()
		return nil
	}
	d.removed = true
	if d.gone == nil {
		d.gone = make(chan struct{})
	}
	gone := d.gone
	if r := d.rolling; r != nil {
		d.rolling = nil
		r.done <- removedMeanwhile()
	}
	d.hand()
	d.mu.Unlock()
	d.save() // a crash from here on removes the rest at the next start
	d.poke()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.ctx.Done():
		return resource.Errorf(resource.Unavailable, "ServerStopping", "the server is stopping; the deployment is removed after its next start")
	}
}

// save writes the record; false when that failed. A roll that is complete is written as the one that serves.
func (d *deployment) save() bool {
	d.saves.Lock()
	defer d.saves.Unlock()
	d.mu.Lock()
	if d.dead {
		d.mu.Unlock()
		return true
	}
	current, rolled := d.current, d.rolling
	if d.finishRoll() {
		current = &rolled.revision
	}
	record := Record{Key: d.key, Revision: current, Next: d.next, Removed: d.removed}
	for _, i := range d.instances {
		record.Instances = append(record.Instances, i.record)
	}
	d.mu.Unlock()
	if err := d.Records.Save(d.ctx, record); err != nil {
		if d.ctx.Err() == nil {
			d.Log.Error("what is known of a deployment could not be written down and will be tried again", "deployment", d.key, "error", err)
		}
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if current != d.current && d.rolling == rolled {
		rolled.written = true
		if d.current == nil || d.current.ID != current.ID {
			d.Journal.Append(d.key, "the revision "+current.ID+" serves now")
			d.scaler = scaler{}
		}
		d.wanted = max(current.Scale.Min, min(d.wanted, current.Scale.Max))
		d.current = current
	}
	return true
}

// drop takes an instance out of the list.
func (d *deployment) drop(gone *instance) {
	for at, i := range d.instances {
		if i == gone {
			d.instances = append(d.instances[:at:at], d.instances[at+1:]...)
			return
		}
	}
}

func (d *deployment) list() []*instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*instance{}, d.instances...)
}

func (d *deployment) status() (Status, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil && d.rolling == nil {
		return Status{}, false
	}
	var out Status
	serves := ""
	if d.current != nil {
		out.Revision, out.Requests, out.Wanted = d.current.ID, d.current.Requests, d.wanted
		serves = d.current.ID
	} else {
		out.Wanted = d.rolling.revision.Scale.Min
		serves = d.rolling.revision.ID
	}
	for _, i := range d.instances {
		if i.state == isReady && i.record.Revision == serves {
			out.Ready++
		}
	}
	if out.Ready < out.Wanted {
		out.Message = d.pool(serves).message
	}
	return out, true
}
