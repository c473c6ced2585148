// Package materialize computes the features of a window and puts them into the offline and the online store. Run is the
// work itself: it holds nothing but a token, reaches storage and the server through their planes, and may be run again
// at any time, because a window is replaced as a whole. Process runs it in a process of its own, as an identity.
package materialize

import (
	"context"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/featurestore/offline"
	"github.com/alvara-ml/alvara/resource"
)

// Order says what is to be materialized.
type Order struct {
	Job     resource.ID       `json:"job"`
	Version resource.ID       `json:"version"` // the feature set version
	Spec    map[string]string `json:"spec"`    // the files of its specification
	Source  Location          `json:"source"`  // Path is the glob of the source's files
	Target  Location          `json:"target"`  // the offline store; Path is the table's prefix
	Start   time.Time         `json:"start"`   // the window [Start, End)
	End     time.Time         `json:"end"`
	Offline bool              `json:"offline"` // compute from the source and replace the window in the offline table
	Online  bool              `json:"online"`  // put the newest rows online: computed with Offline, otherwise read from the offline table, or computed when FromSource
	// FromSource lets an online-only order compute from the source, for versions without an offline store.
	FromSource bool          `json:"fromSource"`
	Identity   string        `json:"identity"` // object id of the principal that the work runs as
	Limits     engine.Limits `json:"limits"`
	// OnlineTTL is how long a row is served online, counted from its event time; 0 is for ever.
	OnlineTTL time.Duration `json:"onlineTTL,omitempty"`
}

// Location is a place in object storage.
type Location struct {
	Account   string `json:"account"`
	Container string `json:"container"`
	Path      string `json:"path"`
}

// Result is what a finished order did.
type Result struct {
	Rows       int64    `json:"rows"`       // rows of the window in the offline store
	OnlineRows int64    `json:"onlineRows"` // rows sent to the online store
	Dropped    int64    `json:"dropped"`    // rows without a key or a timestamp
	Isolation  []string `json:"isolation"`  // the walls around the computation
}

// Runner carries orders out. A fault of the data, of the specification or of missing rights is a *resource.Error that says
// so and is not to be tried again; anything else may be.
type Runner interface {
	Run(ctx context.Context, order Order, log func(line string)) (Result, error)
}

// OfflinePrefix is where everything of a feature set version lies in the offline container. It begins with the feature
// store, because several stores may share a container. The version's own table lies there or, where the version says so,
// in a folder below it: a version that was deleted and made again has another folder and finds no rows of the old one.
func OfflinePrefix(version resource.ID) string {
	store := version.Parent().Parent()
	return StorePrefix(store) + offline.Prefix(strings.ToLower(version.Parent().Name()), strings.ToLower(version.Name()))
}

// StorePrefix is where everything of a feature store lies in its offline container.
func StorePrefix(store resource.ID) string {
	return strings.ToLower(store.Name() + "_" + store.Subscription() + "_" + store.ResourceGroup() + "/")
}
