// Package store keeps what must not be lost: small documents with ETags, and durable jobs. It owns the contract; the
// drivers (sqlite, mem) implement it and all pass the suite in storetest. Object bytes live in the data planes.
package store

import (
	"context"
	"time"
)

// Document is one stored JSON document.
type Document struct {
	Key      string // lower-case and unique, mostly a resource.ID's Key
	Kind     string // lower-case; what List selects by, mostly a resource.Type's Key
	Body     []byte // JSON
	ETag     string // changes with every write; opaque, without quotes
	Created  time.Time
	Modified time.Time
}

// Query selects documents in the order of their keys.
type Query struct {
	Kind   string // required
	Prefix string // only keys that start with it; "" for all
	After  string // only keys greater than it: the last key of the page before
	Limit  int    // at most so many; 0 for all
}

// Op is one step of an atomic change: Put, Delete, Expect, Vacant or Enqueue.
type Op interface{ isOp() }

// Put writes a document.
type Put struct {
	Key, Kind string
	Body      []byte
	IfMatch   string // the ETag that must be there now; Any, None, or "" for no condition
}

// Delete removes a document; an absent one gives ErrNotFound.
type Delete struct {
	Key     string
	IfMatch string // as in Put
}

// Expect changes nothing and makes the whole change depend on a document that it does not write: a child on its parent,
// one that refers on what it refers to.
type Expect struct {
	Key     string
	IfMatch string // as in Put, and required
}

// Vacant changes nothing and fails, with kind Conflict and code "DocumentsBelow", while any document's key starts with
// Prefix. It sees what the ops before it did: whoever deletes a tree ends with it and leaves no document behind that
// somebody else made in the meantime.
type Vacant struct{ Prefix string }

// Enqueue adds a durable job, which runs once the change is committed.
type Enqueue struct {
	Kind        string
	Body        []byte    // JSON
	RunAt       time.Time // zero: at once
	MaxAttempts int       // 0 means DefaultMaxAttempts
}

// Conditions for IfMatch.
const (
	Any  = "*"     // some version must be there
	None = "-none" // nothing may be there
)

// DefaultMaxAttempts is how often a job is tried when Enqueue does not say.
const DefaultMaxAttempts = 5

func (Put) isOp()     {}
func (Delete) isOp()  {}
func (Expect) isOp()  {}
func (Vacant) isOp()  {}
func (Enqueue) isOp() {}

// Change is a committed Put or Delete, as Follow reports it.
type Change struct {
	Document // for a deletion: the document that was removed
	Deleted  bool
}

// Store is a document store with a durable queue. All methods may be called concurrently.
//
// Errors: resource.Error of kind NotFound (code "DocumentNotFound"), Conflict ("DocumentExists", when None fails) or
// PreconditionFailed ("ETagMismatch", when Any or an ETag fails), or Conflict ("DocumentsBelow", when Vacant fails), and Unavailable
// (code "StorageFull") when the medium is full. Anything else is Internal.
type Store interface {
	// Get reads one document.
	Get(ctx context.Context, key string) (Document, error)
	// List reads the documents that a query selects.
	List(ctx context.Context, query Query) ([]Document, error)
	// Apply makes all changes or none. When it returns without error they survive a crash. The result holds, for each
	// Put, the document as written, and for each Delete the one removed, in the order of the ops; Enqueue gives none.
	Apply(ctx context.Context, ops ...Op) ([]Document, error)
	// Follow has fn called with the changes of each commit, one commit at a time in the order of commits, after the
	// commit and before Apply returns to its caller. fn must not call the store. Projections (the access snapshot, the
	// directory) follow the store this way, so a change is in force when its writer hears of it. Documents of a kind
	// in kinds that exist already are reported first, before Follow returns, with no change lost or seen twice between.
	Follow(kinds []string, fn func([]Change)) error
	// Work runs the jobs of a kind with run, at most `concurrency` at a time, until Close. It must be called before
	// Start. A job that run returns an error for is tried again, with growing delay, up to its MaxAttempts; a Fatal
	// error ends it at once. A job that was running when the process died is run again after the next Start.
	Work(kind string, concurrency int, run func(context.Context, Job) error)
	// Start begins to run jobs.
	Start(ctx context.Context) error
	// Stop ends the queue as Close does and leaves the rest of the store in use, so that a server can end its work before
	// the planes that the work goes through. Close after it has nothing left to wait for.
	Stop(ctx context.Context) error
	// Close stops taking jobs, waits for the running ones until ctx ends (then cancels them and leaves them to the next
	// Start), and closes the store.
	Close(ctx context.Context) error
}

// Job is one attempt at a durable job.
type Job struct {
	ID          int64
	Kind        string
	Body        []byte
	Attempt     int // counts from 1
	MaxAttempts int
}

// Last tells whether no further attempt follows when this one fails.
func (j Job) Last() bool { return j.Attempt >= j.MaxAttempts }

// Fatal marks an error that must not be tried again.
type Fatal struct{ Err error }

func (f Fatal) Error() string { return f.Err.Error() }

// Unwrap gives the error itself.
func (f Fatal) Unwrap() error { return f.Err }
