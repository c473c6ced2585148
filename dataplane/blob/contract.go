package blob

import (
	"context"
	"time"

	"github.com/alvara-ml/alvara/access/condition"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// Account is a storage account as the blob plane needs it.
type Account struct {
	ID             resource.ID
	Name           string
	AllowSharedKey bool     // off unless the account turns it on
	Keys           [][]byte // the decoded account keys; only read when AllowSharedKey
}

// Container is one container. Its bytes belong to Key, so a container that is deleted and made again is empty.
type Container struct {
	ID       resource.ID // …/storageAccounts/{a}/blobServices/default/containers/{c}
	Account  string
	Name     string
	Key      string // unique for this incarnation, never used again; letters, digits and '-'
	ETag     string // without quotes
	Modified time.Time
	Metadata map[string]string
}

// Catalog knows the accounts and containers, which are resources of the resource manager. It may be called
// concurrently. It checks no rights: the server does so before it calls.
type Catalog interface {
	// Account finds an account by name, in any case. An absent one gives NotFound.
	Account(ctx context.Context, name string) (Account, error)
	// Container finds a container. An absent one gives NotFound.
	Container(ctx context.Context, account, name string) (Container, error)
	// Containers lists by name: those that start with prefix and are greater than after, at most limit.
	Containers(ctx context.Context, account, prefix, after string, limit int) ([]Container, error)
	// CreateContainer makes a container; an existing one gives Conflict.
	CreateContainer(ctx context.Context, account, name string, metadata map[string]string) (Container, error)
	// DeleteContainer removes a container; an absent one gives NotFound. The server drops the bytes afterwards.
	DeleteContainer(ctx context.Context, account, name string) error
	// SetContainerMetadata replaces the metadata; an absent container gives NotFound.
	SetContainerMetadata(ctx context.Context, account, name string, metadata map[string]string) (Container, error)
}

// Access is one question to the Guard.
type Access struct {
	Who       identity.Principal
	Action    string        // a full operation name such as ActionRead
	Data      bool          // a data action; otherwise a control action
	Scopes    []resource.ID // a right on any of them suffices; the first is the container or account itself
	Target    string        // container and path of the object, "" for accounts
	RequestID string
	Client    string // the caller's address

	Attributes condition.Attributes // what conditions on role assignments may ask about
}

// Guard decides and records. Check returns nil, or an Error of kind Forbidden whose message says which action is
// missing, on which scope, and which role would grant it. It may be called concurrently.
type Guard interface {
	Check(ctx context.Context, access Access) error
}

// Owners gives further scopes that own a path of a container, such as the feature set whose offline data lies there.
// For a listing the path is the listed prefix, and only scopes that own everything below it may be returned.
type Owners func(container Container, path string) []resource.ID

// Authenticator turns a bearer token for a resource, here always Audience, into a principal. A token that does not
// hold gives Unauthenticated.
type Authenticator interface {
	Authenticate(ctx context.Context, token, resourceName string) (identity.Principal, error)
}

// Audience is the resource name that tokens for this plane are checked against.
const Audience = "storage"

// The actions that the blob plane asks for. The container actions are control actions, the others data actions.
const (
	services = "Microsoft.Storage/storageAccounts/blobServices/"

	ActionRead   = services + "containers/blobs/read"
	ActionWrite  = services + "containers/blobs/write"
	ActionAdd    = services + "containers/blobs/add/action"
	ActionDelete = services + "containers/blobs/delete"
	ActionMove   = services + "containers/blobs/move/action"

	ActionContainerRead   = services + "containers/read"
	ActionContainerWrite  = services + "containers/write"
	ActionContainerDelete = services + "containers/delete"
	ActionServiceRead     = services + "read"
	ActionDelegationKey   = services + "generateUserDelegationKey/action"
)
