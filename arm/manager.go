package arm

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Authenticator turns a bearer token for a resource into the principal that holds it.
type Authenticator interface {
	Authenticate(ctx context.Context, token, resourceName string) (identity.Principal, error)
}

// Identities gives resources their system-assigned identities, and finds principals by object id.
type Identities interface {
	ManagedIdentityOps(resourceID resource.ID, displayName string) (identity.ManagedIdentity, []store.Op, error)
	RemoveOps(principalID string) []store.Op
	Lookup(objectID string) (identity.Principal, bool)
}

// Config is what a Manager works with.
type Config struct {
	Store         store.Store
	Guard         *guard.Guard
	Authenticator Authenticator
	Identities    Identities
	Clock         func() time.Time
	Log           *slog.Logger
	Tenant        string // the directory's id
	Authority     string // the token service's address, where a caller without a token is sent
}

// Manager is the resource manager. Types and views are added before it serves; after that it may be used concurrently.
type Manager struct {
	Config
	types map[string]Type
	views []View
}

// Type is a declared resource type; Define makes one.
type Type interface {
	name() resource.Type
	about() *about
	find(ctx context.Context, call *Call) (*Response, error)
	put(ctx context.Context, call *Call) (*Response, error)
	patch(ctx context.Context, call *Call) (*Response, error)
	remove(ctx context.Context, call *Call) (*Response, error)
	list(ctx context.Context, call *Call) (*Response, error)
	act(ctx context.Context, call *Call) (*Response, error)
	readPermission(doc store.Document) string
	absent(call *Call, verb Verb, scope resource.ID) string
	present(ctx context.Context, call *Call, doc store.Document) (map[string]any, error)
	deletionOps(ctx context.Context, call *Call, doc store.Document) ([]store.Op, error)
	deleted(ctx context.Context, doc store.Document) error
	provision(ctx context.Context, call *Call, doc store.Document, operation *Operation) ([]store.Op, error)
}

// about is what the manager needs to know of a type without its Go type.
type about struct {
	tracked, longDelete bool
	operations          []string
	apiVersions         []string
}

// ResourceManager is the name of the audience that tokens for the resource manager have.
const ResourceManager = "resourceManager"

// New makes a manager of the given types and views.
func New(config Config, types []Type, views []View) *Manager {
	m := &Manager{Config: config, types: make(map[string]Type, len(types)), views: views}
	for _, t := range types {
		if _, twice := m.types[t.name().Key()]; twice {
			panic("arm: the type " + string(t.name()) + " is declared twice")
		}
		m.types[t.name().Key()] = t
	}
	config.Store.Work(operationJob, operationsAtOnce, m.runOperation)
	config.Store.Work(deletedJob, 2, m.runDeleted)
	return m
}

// Types gives the declared types in the order of their names.
func (m *Manager) Types() []resource.Type {
	out := make([]resource.Type, 0, len(m.types))
	for _, t := range m.types {
		out = append(out, t.name())
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// Operations gives every permission that the declared types and views ask for, in order.
func (m *Manager) Operations() []string {
	seen := map[string]bool{}
	for _, t := range m.types {
		for _, operation := range t.about().operations {
			seen[operation] = true
		}
	}
	for _, v := range m.views {
		if v.Action != "" {
			seen[v.Action] = true
		}
	}
	out := make([]string, 0, len(seen))
	for operation := range seen {
		out = append(out, operation)
	}
	sort.Strings(out)
	return out
}

// Response is an answer before it is written: a status, a body to marshal, and headers.
type Response struct {
	Status int
	Body   any
	ETag   string
	Header map[string]string
}

var apiVersion = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-[A-Za-z0-9.]+)?$`)

// serve is the pipeline behind authentication, the same for HTTP and for Do.
func (m *Manager) serve(ctx context.Context, path string, call *Call) (*Response, error) {
	call.Manager = m
	if view, params, ok := m.view(call.Method, path); ok {
		return m.serveView(ctx, call, view, params)
	}
	targets, err := ParseTarget(path)
	if err != nil {
		return nil, err
	}
	for _, target := range targets {
		call.Target = target
		t, known := m.types[target.Type.Key()]
		if !known {
			continue
		}
		switch {
		case target.Collection && call.Method == "GET":
			return t.list(ctx, call)
		case target.Collection:
			continue
		case target.Word != "":
			return t.act(ctx, call)
		}
		switch call.Method {
		case "GET", "HEAD":
			return t.find(ctx, call)
		case "PUT":
			return t.put(ctx, call)
		case "PATCH":
			return t.patch(ctx, call)
		case "DELETE":
			return t.remove(ctx, call)
		}
		return nil, resource.Errorf(resource.MethodNotAllowed, "MethodNotAllowed", "%s does not take the method %s", target.Type, call.Method)
	}
	return nil, m.unknownType(targets[0])
}

func (m *Manager) unknownType(target Target) error {
	if target.Type == "" {
		return resource.NotFoundf("NotFound", "there is nothing at this path")
	}
	return resource.NotFoundf("InvalidResourceType",
		"The resource type '%s' could not be found in the namespace '%s'. Known types: %s", target.Type, target.Type.Namespace(), m.nearTypes(target.Type))
}

func (m *Manager) nearTypes(t resource.Type) string {
	var names []string
	for _, known := range m.Types() {
		if strings.EqualFold(known.Namespace(), t.Namespace()) {
			names = append(names, string(known))
		}
	}
	if len(names) == 0 {
		return "none in this namespace"
	}
	return strings.Join(names, ", ")
}

// authorize asks the guard for the verb's permission.
func (m *Manager) authorize(ctx context.Context, call *Call, action string, scope resource.ID) error {
	return m.Guard.Check(ctx, m.ask(call, Requirement{Action: action, Scope: scope}))
}

// authorizeLinked asks the guard for everything else that a request needs, once action on scope is allowed, and answers
// with all that is missing at once.
func (m *Manager) authorizeLinked(ctx context.Context, call *Call, action string, scope resource.ID, linked []Requirement) error {
	var missing []Requirement
	var details []*resource.Error
	for _, requirement := range linked {
		if slices.ContainsFunc(missing, requirement.same) {
			continue
		}
		err := m.Guard.Check(ctx, m.ask(call, requirement))
		if err == nil {
			continue
		}
		refusal, ok := resource.AsError(err)
		if !ok || refusal.Kind != resource.Forbidden {
			return err
		}
		missing, details = append(missing, requirement), append(details, refusal)
	}
	if len(missing) == 0 {
		return nil
	}
	first := missing[0]
	refusal := resource.Forbiddenf("LinkedAuthorizationFailed",
		"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to perform %s or the linked scope(s) are invalid.%s",
		call.Who.Name, call.Who.ID, action, scope, linkedActions(missing), m.Guard.Cure(call.Who, first.Action, first.Data, first.Scope))
	refusal.Details = details
	return refusal
}

// linkedActions names what is missing, action by action, each with its scopes.
func linkedActions(missing []Requirement) string {
	var actions []string
	scopes := map[string][]string{}
	for _, requirement := range missing {
		if scopes[requirement.Action] == nil {
			actions = append(actions, requirement.Action)
		}
		scopes[requirement.Action] = append(scopes[requirement.Action], requirement.Scope.String())
	}
	for i, action := range actions {
		actions[i] = fmt.Sprintf("action '%s' on the linked scope(s) '%s'", action, strings.Join(scopes[action], ","))
	}
	return strings.Join(actions, ", ")
}

func (m *Manager) ask(call *Call, requirement Requirement) guard.Request {
	return guard.Request{
		Who: call.Who, Action: requirement.Action, Data: requirement.Data, Scopes: []resource.ID{requirement.Scope},
		Plane: ResourceManager, RequestID: call.RequestID, Client: call.Client, Job: call.Job,
	}
}

// Visible tells whether a stored resource may be shown to the caller.
func (m *Manager) Visible(call *Call, doc store.Document) bool {
	t, ok := m.types[doc.Kind]
	if !ok {
		return false
	}
	id, err := resource.ParseID(doc.Key)
	if err != nil {
		return false
	}
	return m.Guard.Allowed(m.ask(call, Requirement{Action: t.readPermission(doc), Scope: id}))
}

// Present shows a stored resource of any type as the caller would see it; whether the caller may see it is for Visible.
func (m *Manager) Present(ctx context.Context, call *Call, doc store.Document) (map[string]any, error) {
	t, ok := m.types[doc.Kind]
	if !ok {
		return nil, resource.Errorf(resource.Internal, "UnknownType", "the type %s is not declared", doc.Kind)
	}
	return t.present(ctx, call, doc)
}

// Tracked gives the kinds of the tracked types.
func (m *Manager) Tracked() []string {
	var out []string
	for key, t := range m.types {
		if t.about().tracked {
			out = append(out, key)
		}
	}
	sort.Strings(out)
	return out
}

// APIVersions gives the api versions that a type is listed with, the newest first.
func (m *Manager) APIVersions(t resource.Type) []string {
	declared, ok := m.types[t.Key()]
	if !ok || len(declared.about().apiVersions) == 0 {
		return []string{"2024-04-01"}
	}
	return declared.about().apiVersions
}
