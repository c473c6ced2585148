package graph

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// request is a request on its way: as it came, then with who asks, then with what is asked.
type request struct {
	http      *http.Request
	id        string
	clientID  string // the client's own name for the request
	who       identity.Principal
	version   string // v1.0 or beta
	operation *operation
	at        []variable // what stands in the variable segments of the path, in their order
	query     url.Values
}

// variable is what stands in a variable segment of a path: an id, or a key as in applications(appId='…').
type variable struct {
	value string
	key   string // the property that the value is of; "" is the object id
}

// base is the address that the client used, with the version.
func (q *request) base() string { return "https://" + q.http.Host + "/" + q.version }

// answer is what an operation gives back. Status 0 is 200; without a body 204.
type answer struct {
	status   int
	body     any
	location string
}

// handle runs the steps in the one order that they have. No operation is reached except through it.
func (s *Server) handle(ctx context.Context, q *request) (answer, error) {
	if err := s.authenticate(ctx, q); err != nil {
		return answer{}, err
	}
	if err := q.parse(); err != nil {
		return answer{}, err
	}
	if err := s.authorize(ctx, q); err != nil {
		return answer{}, err
	}
	return q.operation.run(s, ctx, q)
}

func (s *Server) authenticate(ctx context.Context, q *request) error {
	scheme, token, _ := strings.Cut(q.http.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return resource.Errorf(resource.Unauthenticated, invalidToken, "Access token is empty; a header 'Authorization: Bearer …' with a token for https://graph.microsoft.com was expected.")
	}
	who, err := s.Authenticator.Authenticate(ctx, token, Audience)
	if err != nil {
		other, otherErr := s.Authenticator.Authenticate(ctx, token, managementPlane)
		if otherErr != nil {
			return err
		}
		who = other
	}
	q.who = who
	return nil
}

// assignRoles is the right that a change needs when it hands an existing principal's roles on.
const assignRoles = "Microsoft.Authorization/roleAssignments/write"

// authorize lets everybody read, with a record, and asks the guard about changes.
func (s *Server) authorize(ctx context.Context, q *request) error {
	client, _, _ := net.SplitHostPort(q.http.RemoteAddr)
	target := q.http.URL.Path
	if !q.operation.open {
		actions := []string{q.operation.action}
		if q.operation.becoming {
			actions = append(actions, assignRoles)
		}
		for _, action := range actions {
			err := s.Guard.Check(ctx, guard.Request{
				Who: q.who, Action: action, Scopes: []resource.ID{resource.Root},
				Plane: Audience, Target: target, RequestID: q.id, Client: client,
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	err := s.Audit.Record(ctx, audit.Record{
		Time: s.Clock(), RequestID: q.id, Plane: Audience, Principal: q.who.ID, Name: q.who.Name, Action: q.operation.action,
		Scope: resource.Root.String(), Target: target, Allowed: true, Client: client,
	})
	if err != nil {
		return audit.Unavailable(err)
	}
	return nil
}

func (s *Server) write(w http.ResponseWriter, q *request, a answer) error {
	if a.body == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	body, err := json.Marshal(a.body)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json;odata.metadata=minimal;charset=utf-8")
	h.Set("OData-Version", "4.0")
	if a.location != "" {
		h.Set("Location", a.location)
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	w.WriteHeader(a.status)
	if _, err := w.Write(body); err != nil {
		s.Log.Debug("graph: the caller has gone away", "request", q.id, "error", err)
	}
	return nil
}
