package arm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Operation is long work that was accepted: it survives a restart, and ends Succeeded or Failed with a reason.
type Operation struct {
	ID        string      `json:"id"`
	Status    string      `json:"status"` // InProgress, Succeeded, Failed
	Resource  resource.ID `json:"resource"`
	Verb      Verb        `json:"verb"`
	Caller    string      `json:"caller"` // object id: the operation acts as this principal
	BaseURL   string      `json:"baseUrl"`
	RequestID string      `json:"requestId"`
	StartTime time.Time   `json:"startTime"`
	EndTime   *time.Time  `json:"endTime,omitempty"`
	Error     *wireError  `json:"error,omitempty"`
	// ErrorKind gives the failure its status again.
	ErrorKind resource.Kind `json:"errorKind,omitempty"`
}

const (
	// An operation's own faults are tried a few times before it is Failed. Its outcome is recorded however long that takes.
	operationAttempts = 5
	recordAttempts    = 100

	// Most operations wait for others: for a role, an image, an instance that becomes ready.
	operationsAtOnce = 256

	operationJob  = "arm/operation"
	operationKind = "arm/operations"
	inProgress    = "InProgress"
)

func operationKey(id string) string { return "/operations/" + id }

func (call *Call) newOperation(id resource.ID, verb Verb) *Operation {
	return &Operation{
		ID: uuid.NewString(), Status: inProgress, Resource: id, Verb: verb, Caller: call.Who.ID,
		BaseURL: call.BaseURL, RequestID: call.RequestID, StartTime: call.Manager.Clock().UTC(),
	}
}

// start gives the ops that begin the operation with the commit that they are part of.
func (o *Operation) start() ([]store.Op, error) {
	put, err := o.put()
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(o.ID)
	return []store.Op{put, store.Enqueue{Kind: operationJob, Body: body, MaxAttempts: recordAttempts}}, err
}

func (o *Operation) put() (store.Put, error) {
	body, err := json.Marshal(o)
	return store.Put{Key: operationKey(o.ID), Kind: operationKind, Body: body}, err
}

// headers tell the client where to ask how the operation goes.
func (o *Operation) headers(call *Call) map[string]string {
	path := fmt.Sprintf("%s/subscriptions/%s/providers/%s/locations/global/%%s/%s?api-version=2024-01-01",
		call.BaseURL, o.Resource.Subscription(), o.Resource.Type().Namespace(), o.ID)
	return map[string]string{
		"Azure-AsyncOperation": fmt.Sprintf(path, "operationStatuses"),
		"Location":             fmt.Sprintf(path, "operationResults"),
		"Retry-After":          "0",
	}
}

// OperationViews are the endpoints behind the Azure-AsyncOperation and Location headers.
func OperationViews() []View {
	const base = "/subscriptions/{subscription}/providers/{namespace}/locations/{location}/"
	return []View{
		{Pattern: base + "operationStatuses/{operation}", Run: operationStatus},
		{Pattern: base + "operationResults/{operation}", Run: operationResult},
	}
}

// readOperation lets the one who started the operation see it, and whoever may read its resource.
func readOperation(ctx context.Context, call *Call, id string) (*Operation, Type, error) {
	m := call.Manager
	doc, err := m.Store.Get(ctx, operationKey(id))
	if err != nil {
		if resource.KindOf(err) == resource.NotFound {
			err = resource.NotFoundf("OperationNotFound", "There is no operation '%s'.", id)
		}
		return nil, nil, err
	}
	operation := &Operation{}
	if err := json.Unmarshal(doc.Body, operation); err != nil {
		return nil, nil, err
	}
	t := m.types[operation.Resource.Type().Key()]
	if operation.Caller == call.Who.ID {
		return operation, t, nil
	}
	permission := t.absent(call, Read, operation.Resource)
	if doc, err := m.Store.Get(ctx, operation.Resource.Key()); err == nil {
		permission = t.readPermission(doc)
	}
	if err := m.authorize(ctx, call, permission, operation.Resource); err != nil {
		return nil, nil, resource.NotFoundf("OperationNotFound", "There is no operation '%s'.", id).Because(err)
	}
	return operation, t, nil
}

func operationStatus(ctx context.Context, call *Call, params map[string]string) (any, error) {
	operation, _, err := readOperation(ctx, call, params["operation"])
	if err != nil {
		return nil, err
	}
	body := map[string]any{
		"id": operation.ID, "name": operation.ID, "status": operation.Status,
		"startTime": operation.StartTime, "resourceId": operation.Resource,
	}
	if operation.EndTime != nil {
		body["endTime"] = operation.EndTime
	}
	if operation.Error != nil {
		body["error"] = operation.Error
	}
	response := &Response{Status: 200, Body: body}
	if operation.Status == inProgress {
		response.Header = map[string]string{"Retry-After": "0"}
	}
	return response, nil
}

func operationResult(ctx context.Context, call *Call, params map[string]string) (any, error) {
	operation, t, err := readOperation(ctx, call, params["operation"])
	if err != nil {
		return nil, err
	}
	switch {
	case operation.Status == inProgress:
		return &Response{Status: 202, Header: operation.headers(call)}, nil
	case operation.Error != nil:
		return nil, operation.Error.restore(operation.ErrorKind)
	case operation.Verb == Remove:
		return &Response{Status: 200}, nil
	}
	call.Method, call.Target = "GET", Target{ID: operation.Resource, Type: operation.Resource.Type()}
	return t.find(ctx, call)
}

// runOperation is the durable job behind an operation. It may run more than once.
func (m *Manager) runOperation(ctx context.Context, job store.Job) error {
	var id string
	if err := json.Unmarshal(job.Body, &id); err != nil {
		return store.Fatal{Err: err}
	}
	stored, err := m.Store.Get(ctx, operationKey(id))
	if err != nil {
		return err
	}
	operation := &Operation{}
	if err := json.Unmarshal(stored.Body, operation); err != nil {
		return store.Fatal{Err: err}
	}
	if operation.Status != inProgress {
		return nil
	}
	ops, err := m.perform(ctx, operation)
	if err != nil && retried(err) && job.Attempt < operationAttempts {
		m.Log.Warn("operation will be tried again", "operation", id, "resource", operation.Resource.String(), "attempt", job.Attempt, "error", err)
		return err
	}
	now := m.Clock().UTC()
	operation.Status, operation.EndTime = Succeeded, &now
	if err != nil {
		operation.Status, operation.Error, operation.ErrorKind = Failed, m.wire(err, operation.RequestID), resource.KindOf(err)
		if ops, err = m.markFailed(ctx, operation); err != nil {
			return err
		}
	}
	put, err := operation.put()
	if err != nil {
		return store.Fatal{Err: err}
	}
	_, err = m.Store.Apply(ctx, append([]store.Op{put}, ops...)...)
	return err
}

// retried tells whether trying again may help: a fault of ours, or a race that was lost.
func retried(err error) bool {
	e, ok := resource.AsError(err)
	return !ok || e.Kind == resource.Internal || e.Kind == resource.Unavailable || e.Code == codeRaced
}

// perform does the operation's work as the one who asked for it and gives the ops that record the result.
func (m *Manager) perform(ctx context.Context, operation *Operation) ([]store.Op, error) {
	who, known := m.Identities.Lookup(operation.Caller)
	if !known {
		return nil, resource.Forbiddenf("PrincipalNotFound", "the principal %s, for whom the operation acts, is no longer in the directory", operation.Caller)
	}
	t := m.types[operation.Resource.Type().Key()]
	call := &Call{Who: who, Method: "PUT", Target: Target{ID: operation.Resource, Type: operation.Resource.Type()},
		BaseURL: operation.BaseURL, RequestID: operation.RequestID, Job: "operation/" + operation.ID, Manager: m}
	doc, err := m.Store.Get(ctx, operation.Resource.Key())
	if resource.KindOf(err) == resource.NotFound {
		return nil, nil // deleted meanwhile, or by an earlier attempt
	}
	if err != nil {
		return nil, err
	}
	if operation.Verb == Remove {
		call.Method = "DELETE"
		return nil, m.deleteTree(ctx, call, doc.Key, doc.ETag)
	}
	return t.provision(ctx, call, doc, operation)
}

func (d *definition[P]) provision(ctx context.Context, call *Call, doc store.Document, operation *Operation) ([]store.Op, error) {
	r, err := d.decode(doc)
	if err != nil {
		return nil, err
	}
	if r.Operation != operation.ID {
		return nil, nil // a later write has taken over
	}
	before, err := d.decode(doc)
	if err != nil {
		return nil, err
	}
	ops, err := d.Provision(ctx, call, &r.Resource)
	if err != nil {
		return nil, err
	}
	claims, err := d.claimOps(ctx, call, &r.Resource, &before.Resource)
	if err != nil {
		return nil, err
	}
	r.State, r.Failure = Succeeded, nil
	body, err := d.encode(r)
	return append(append(ops, claims...), store.Put{Key: doc.Key, Kind: doc.Kind, Body: body, IfMatch: doc.ETag}), err
}

// markFailed gives the op that writes the failure into the resource.
func (m *Manager) markFailed(ctx context.Context, operation *Operation) ([]store.Op, error) {
	doc, err := m.Store.Get(ctx, operation.Resource.Key())
	if resource.KindOf(err) == resource.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(doc.Body, &fields); err != nil {
		return nil, err
	}
	var owner string
	if _ = json.Unmarshal(fields["operation"], &owner); owner != operation.ID {
		return nil, nil // a later write has taken over
	}
	if fields["state"], err = json.Marshal(Failed); err != nil {
		return nil, err
	}
	if fields["failure"], err = json.Marshal(operation.Error); err != nil {
		return nil, err
	}
	body, err := json.Marshal(fields)
	return []store.Op{store.Put{Key: doc.Key, Kind: doc.Kind, Body: body, IfMatch: doc.ETag}}, err
}
