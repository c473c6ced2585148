package serving

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// Controller keeps deployments running. Its fields are set before Start and not changed afterwards; its methods may be called
// concurrently from then on.
type Controller struct {
	Launcher workload.Launcher
	Orders   Orders
	Records  Records
	Journal  Journal
	Clock    func() time.Time
	Log      *slog.Logger
	// Backoff is how long nothing is started after so many failures in a row; nil is a second, doubled up to a minute.
	Backoff func(failures int) time.Duration
	// Quick is how often an instance is asked whether it is ready until it is for the first time; 0 is 50 ms, and grows.
	Quick time.Duration

	mu          sync.Mutex
	deployments map[string]*deployment
	ctx         context.Context
	stop        context.CancelFunc
	running     sync.WaitGroup
}

// Start takes up what the records tell of, and finds the instances that are there.
func (c *Controller) Start(ctx context.Context) error {
	records, err := c.Records.All(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.deployments = map[string]*deployment{}
	for _, record := range records {
		d := c.add(record.Key)
		d.restore(record)
		d.begin()
	}
	return nil
}

// Close ends the controller and leaves the instances as they are: the next one finds them.
func (c *Controller) Close() error {
	c.mu.Lock()
	stop := c.stop
	c.mu.Unlock()
	if stop != nil {
		stop()
		c.running.Wait()
	}
	return nil
}

// add makes a deployment. The caller holds c.mu.
func (c *Controller) add(key string) *deployment {
	d := &deployment{Controller: c, key: key, poked: make(chan struct{}, 1), turn: make(chan struct{}, 1), pools: map[string]*pool{}}
	c.deployments[key] = d
	return d
}

func (c *Controller) find(key string) *deployment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deployments[key]
}

// Roll makes a revision serve and returns when it does: when all of its instances are ready, and new requests get them alone. What
// served before ends with its last request. It may be called again after a crash. Errors: why the revision does not serve, in which case
// what served before goes on; Conflict when the deployment is removed meanwhile; ctx.Err().
func (c *Controller) Roll(ctx context.Context, key string, next Revision) error {
	for {
		c.mu.Lock()
		d := c.deployments[key]
		if d == nil {
			d = c.add(key)
			d.begin()
		}
		c.mu.Unlock()
		again, err := d.roll(ctx, next)
		if !again {
			return err
		}
	}
}

// Remove ends a deployment, its requests too once their time is over, and forgets it. It returns when nothing of it is left.
func (c *Controller) Remove(ctx context.Context, key string) error {
	if d := c.find(key); d != nil {
		if err := d.remove(ctx); err != nil {
			return err
		}
	}
	c.Journal.Forget(key)
	return nil
}

// Status tells how a deployment does; false when there is none.
func (c *Controller) Status(key string) (Status, bool) {
	d := c.find(key)
	if d == nil {
		return Status{}, false
	}
	return d.status()
}

// Logs gives what there is to tell of a deployment and what its instances wrote, the last lines of each.
func (c *Controller) Logs(ctx context.Context, key string, lines int) (string, error) {
	var instances []*instance
	if d := c.find(key); d != nil {
		instances = d.list()
	}
	return c.tell(ctx, key, instances, lines)
}

// Acquire gives a request a place at an instance that is ready, in the order of asking. Release gives it back. Errors: Unavailable
// when no instance is ready, TooManyRequests when all are full for longer than a request waits, ctx.Err().
func (c *Controller) Acquire(ctx context.Context, key string) (*Lease, error) {
	d := c.find(key)
	if d == nil {
		return nil, notServing()
	}
	return d.acquire(ctx)
}

func notServing() error {
	return resource.Errorf(resource.Unavailable, "NoInstanceReady", "no instance of the deployment is ready; try again, and see why with: alvara ml online-deployment get-logs")
}

func (c *Controller) backoff(failures int) time.Duration {
	if c.Backoff != nil {
		return c.Backoff(failures)
	}
	return min(time.Minute, time.Second<<min(failures-1, 6))
}
