// Package serving keeps the instances of deployments running: it starts them with a workload.Launcher, asks how they do, replaces what
// fails, follows the load, and exchanges a revision for another without dropping a request. It owns how many instances there are and
// which of them a request gets. What a deployment is, who may call it and as whom it runs are its users' affair.
//
// A deployment is a key and a Revision. Roll makes another revision serve: its instances are started beside those that serve, and take
// over all at once when every one of them is ready; the others end with their last request. A roll that fails leaves what served before.
//
// Instances do not belong to this process. What is wanted, and every instance that was begun, is written down before it is begun; a
// Controller that opens the same records finds the instances that another one left, and asks them how they do.
package serving

import (
	"context"
	"encoding/json"
	"time"

	"github.com/alvara-ml/alvara/workload"
)

// Revision is what a deployment runs, how much of it, and how its requests are bounded.
type Revision struct {
	// ID tells revisions apart that need other instances: two with the same ID differ in numbers alone.
	ID string `json:"id"`
	// Template is what Orders makes the orders of instances of.
	Template json.RawMessage `json:"template"`
	Scale    Scale           `json:"scale"`
	Requests Requests        `json:"requests"`
	Probes   Probes          `json:"probes"`
}

// Scale says how many instances there are: Min, or, where Max is larger, as many as keep the utilization at Target.
type Scale struct {
	Min    int           `json:"min"` // at least 1
	Max    int           `json:"max,omitempty"`
	Target float64       `json:"target,omitempty"` // share of the places for requests that is taken, above 0 and at most 1
	Every  time.Duration `json:"every,omitempty"`  // how often the load is looked at
}

// Requests bounds the requests of a deployment.
type Requests struct {
	Path        string        `json:"path"`        // where the instances score, such as /score
	Concurrency int           `json:"concurrency"` // requests that an instance has at once
	Wait        time.Duration `json:"wait"`        // how long a request waits for an instance that is free
	Timeout     time.Duration `json:"timeout"`     // of one request
}

// Probes are how instances are asked how they do. Startup has no path of its own: its threshold and period say how long Ready may take
// to succeed for the first time.
type Probes struct {
	Startup, Live, Ready Probe
}

// Probe is a question: GET of Path, which any status from 200 to 399 answers well.
type Probe struct {
	Path      string        `json:"path,omitempty"`
	Delay     time.Duration `json:"delay,omitempty"` // after the start
	Period    time.Duration `json:"period"`
	Timeout   time.Duration `json:"timeout"`
	Failures  int           `json:"failures"`  // so many in a row are one too many
	Successes int           `json:"successes"` // so many in a row are enough
}

// Orders makes the orders of instances. It may be called concurrently and acts at the moment of the call: what an identity may, or
// whether a password exists, can have changed since the revision was made.
type Orders interface {
	// Order gives the order of one instance, without its ID. Errors: of kind Forbidden, Invalid and others that say why there can be no
	// instance.
	Order(ctx context.Context, key string, template json.RawMessage) (workload.Order, error)
}

// Records keeps what must survive the process. It may be called concurrently, for one key by one caller at a time.
type Records interface {
	// Save replaces the record of a deployment.
	Save(ctx context.Context, record Record) error
	// Delete forgets the record of a deployment; an absent one is no error.
	Delete(ctx context.Context, key string) error
	// All gives the records of all deployments.
	All(ctx context.Context) ([]Record, error)
}

// Record is what is written down of a deployment.
type Record struct {
	Key string `json:"key"`
	// Revision is the one that serves; nil while the first one is being rolled out.
	Revision *Revision `json:"revision,omitempty"`
	// Next numbers the next instance: numbers are never used again.
	Next      int              `json:"next"`
	Instances []InstanceRecord `json:"instances"`
	// Removed: the deployment is gone, and what is left of it is being removed.
	Removed bool `json:"removed,omitempty"`
}

// InstanceRecord is what is written down of an instance before it is begun.
type InstanceRecord struct {
	Revision string         `json:"revision"` // its ID
	Number   int            `json:"number"`
	Order    workload.Order `json:"order"` // with the run's ID
}

// Journal keeps what there is to tell of each deployment. It may be called concurrently.
type Journal interface {
	Append(key, line string)
	// Tail gives the last lines, the oldest first.
	Tail(key string, lines int) ([]string, error)
	Forget(key string)
}

// Status tells how a deployment does.
type Status struct {
	Revision string // the ID of the one that serves; "" while none does
	Requests Requests
	Wanted   int
	Ready    int
	Message  string // why there are fewer than wanted
}
