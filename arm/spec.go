package arm

import (
	"context"
	"encoding/json"
	"regexp"
	"time"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Resource is the envelope that all resources share, around properties of a type's own.
type Resource[P any] struct {
	ID         resource.ID       `json:"id"`
	Name       string            `json:"name"`
	Type       resource.Type     `json:"type"`
	Location   string            `json:"location,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	SKU        json.RawMessage   `json:"sku,omitempty"`
	Identity   *Identity         `json:"identity,omitempty"`
	Properties P                 `json:"properties"`
	SystemData *SystemData       `json:"systemData,omitempty"`
	ETag       string            `json:"etag,omitempty"` // not stored: the document's
}

// SystemData says who wrote a resource and when.
type SystemData struct {
	CreatedBy          string    `json:"createdBy"`
	CreatedByType      string    `json:"createdByType"`
	CreatedAt          time.Time `json:"createdAt"`
	LastModifiedBy     string    `json:"lastModifiedBy"`
	LastModifiedByType string    `json:"lastModifiedByType"`
	LastModifiedAt     time.Time `json:"lastModifiedAt"`
}

// Identity is the managed identity of a resource: Type is None, SystemAssigned, UserAssigned, or
// "SystemAssigned, UserAssigned". PrincipalID and TenantID are those of the system-assigned one.
type Identity struct {
	Type         string                        `json:"type"`
	PrincipalID  string                        `json:"principalId,omitempty"`
	TenantID     string                        `json:"tenantId,omitempty"`
	UserAssigned map[string]*UserAssignedEntry `json:"userAssignedIdentities,omitempty"` // by resource id
}

// UserAssignedEntry is a user-assigned identity as a resource that carries it shows it.
type UserAssignedEntry struct {
	PrincipalID string `json:"principalId,omitempty"`
	ClientID    string `json:"clientId,omitempty"`
}

// Verb is what a request wants of a resource, and the last word of the permission that it needs.
type Verb string

// The verbs.
const (
	Read   Verb = "read"
	Write  Verb = "write"
	Remove Verb = "delete"
)

// Requirement is one more permission that a request needs: a linked scope.
type Requirement struct {
	Action string
	Data   bool
	Scope  resource.ID
}

func (r Requirement) same(other Requirement) bool {
	return r.Action == other.Action && r.Data == other.Data && r.Scope.Equal(other.Scope)
}

// Call is a request on its way through the pipeline: who asks for what.
type Call struct {
	Who       identity.Principal
	Method    string
	Target    Target
	Query     map[string][]string
	Header    map[string][]string
	Body      []byte
	BaseURL   string // scheme and host that the caller used, for links
	RequestID string
	Client    string
	Job       string // set when a durable operation acts for the caller
	Manager   *Manager
}

// Change is a write on its way: Prev is nil when the resource is new. Hooks may set Next's fields.
type Change[P any] struct {
	*Call
	Next, Prev *Resource[P]
}

// Spec declares a resource type whose properties have the Go type P. Only Type is required.
type Spec[P any] struct {
	Type resource.Type

	Tracked    bool           // it has a location and tags, and is listed among the resources of a group
	Identities bool           // it may carry managed identities
	Strict     bool           // properties that P does not know are refused by name; otherwise they are ignored
	Name       *regexp.Regexp // legal names; nil for the usual rule
	NameRule   string         // the rule in words
	GlobalName bool           // the name must be unused by any resource of the type, in any group
	Permanent  bool           // it goes with its parent, and cannot be deleted by itself
	Created    int            // the status of a creating PUT; 201 when zero
	Replaced   int            // the status of a replacing PUT; 200 when zero
	ReadOnly   bool           // no PUT, PATCH or DELETE
	Scopes     bool           // an extension type, which sits on any scope
	// Followed: a write that begins an operation is answered as one that has ended is, with the operation's address in the
	// headers: the type's clients take no 202.
	Followed bool
	// Place gives the resource that must exist for the extension type to sit on a scope. nil asks for the scope itself;
	// another answer is for scopes that are nobody's resources, such as a repository of a registry. It may refuse a scope.
	Place func(scope resource.ID) (resource.ID, error)
	// ImplicitParent: the direct parent need not exist, because Commit makes it (a version makes its container).
	ImplicitParent bool
	// EmptyAbsent tells of a list whether it is empty, instead of NotFound, where the direct parent is not there: for clients that
	// look for something before they make it. nil is never.
	EmptyAbsent func(call *Call) bool
	APIVersions []string // what the provider's list shows; any well-formed version is served
	// Listed reads a list's query and gives the function that tells which resources it asks for; nil shows all.
	Listed func(call *Call) (func(r *Resource[P]) bool, error)
	// Unique gives a text that no two resources of the type may share, beside their ids; "" for none. Validate words the
	// refusal; this makes it hold when two are written at once.
	Unique func(r *Resource[P]) string
	// Kinds are the kinds of resource that have permissions of their own. Where there is no resource, having the
	// permission for any kind is enough to be told so.
	Kinds []string

	// PermissionType replaces Type in the derived permissions: versions of a feature set share the set's.
	PermissionType string
	// Permission names the action for a verb; nil derives "{PermissionType or Type}/{verb}".
	Permission func(verb Verb, next, prev *Resource[P]) string
	// Linked lists what else the caller must be allowed before the write: identities assigned, resources provisioned.
	Linked func(ctx context.Context, change *Change[P]) ([]Requirement, error)
	// LinkedDelete lists what else the caller must be allowed before the deletion.
	LinkedDelete func(ctx context.Context, call *Call, r *Resource[P]) ([]Requirement, error)
	// Validate checks a write and sets defaults; it must not write anything.
	Validate func(ctx context.Context, change *Change[P]) error
	// Commit gives more ops that are committed with the write, in one atomic change.
	Commit func(ctx context.Context, change *Change[P]) ([]store.Op, error)
	// Provision is the long part of a write: a durable operation that survives a restart and may run more than once. It
	// acts as the caller, through call.Manager, and may change r's properties, which are saved, together with the ops that
	// it returns, when it succeeds.
	Provision func(ctx context.Context, call *Call, r *Resource[P]) ([]store.Op, error)
	// NeedsProvision tells whether this write needs Provision; nil means that every write does.
	NeedsProvision func(change *Change[P]) bool
	// Along gives resources elsewhere that a deletion takes along, with everything below them, in the same atomic change. The
	// caller needs the right to delete each of them; one that something else needs keeps them all.
	Along func(ctx context.Context, call *Call, r *Resource[P]) ([]resource.ID, error)
	// Deleting checks a deletion and gives more ops that are committed with it.
	Deleting func(ctx context.Context, call *Call, r *Resource[P]) ([]store.Op, error)
	// Deleted forgets what a resource had outside of the store. It is a durable job that begins when the deletion is
	// committed, survives a restart and may run more than once; until it has ended, no resource of the same id can be made.
	Deleted func(ctx context.Context, r *Resource[P]) error
	// References gives the resources that this one needs: they cannot be deleted while it is there.
	References func(call *Call, r *Resource[P]) []resource.ID
	// Present changes a copy of the resource before it is shown.
	Present func(ctx context.Context, call *Call, r *Resource[P])
	// Find and List replace the stored documents for types whose items live elsewhere, such as built-in roles. An item that
	// Find gives with an ETag is stored as well, under Key.
	Find func(ctx context.Context, call *Call, id resource.ID) (*Resource[P], bool, error)
	List func(ctx context.Context, call *Call, scope resource.ID) ([]*Resource[P], error)
	// Key replaces the document key, which is the id's.
	Key func(id resource.ID) string

	Actions []Action[P]
}

// Action is a POST on a resource.
type Action[P any] struct {
	Name       string
	Method     string // POST when empty
	Permission string // full action; "" derives "{PermissionType or Type}/{Name}/action"
	Run        func(ctx context.Context, call *Call, r *Resource[P]) (any, error)
	Status     int // 200 when zero
	// Absent: the resource need not exist; Run is then given one that has nothing but its names.
	Absent bool
}

// View is an endpoint that is no resource of a declared type, such as the list of all resources in a group.
type View struct {
	Method  string // GET when empty
	Pattern string // a path whose {segments} match any one segment
	Action  string // the permission, on the scope that Scope gives; "" lets every authenticated principal in
	Scope   func(params map[string]string) resource.ID
	Run     func(ctx context.Context, call *Call, params map[string]string) (any, error)
}
