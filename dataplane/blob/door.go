package blob

import (
	"context"
	"io"

	"github.com/alvara-ml/alvara/identity"
)

// Door is the way to objects for code inside the server. It asks the Guard what the protocols ask, for the principal
// on whose behalf the code runs.
type Door struct {
	server    *Server
	who       identity.Principal
	requestID string
}

// As opens the door for a principal. The request id, which may be "", is for the Guard's records.
func (s *Server) As(who identity.Principal, requestID string) Door {
	return Door{server: s, who: who, requestID: requestID}
}

// enter finds the container and asks the Guard.
func (d Door) enter(ctx context.Context, account, container string, on target, path, action string) (Container, error) {
	s := d.server
	if err := checkContainerName(container); err != nil {
		return Container{}, err
	}
	found, err := s.Catalog.Account(ctx, account)
	if err != nil {
		return Container{}, err
	}
	c, err := s.findContainer(ctx, found, container)
	if err != nil {
		return Container{}, err
	}
	access := Access{Who: d.who, Action: action, Data: true, Scopes: s.scopesOf(c, path), Target: c.Name + "/" + path, RequestID: d.requestID,
		Attributes: attributes(on, found.Name, c, path)}
	if err := s.Guard.Check(ctx, access); err != nil {
		return Container{}, err
	}
	if c.Key == "" {
		return Container{}, errNoContainer()
	}
	return c, nil
}

// Read opens an object. The caller closes the reader. Errors: the Guard's Forbidden; NotFound for the account, the
// container or the blob.
func (d Door) Read(ctx context.Context, account, container, path string) (Object, Reader, error) {
	c, err := d.enter(ctx, account, container, onPath, path, ActionRead)
	if err != nil {
		return Object{}, nil, err
	}
	return d.server.Objects.Open(ctx, c.Key, path)
}

// Head tells what is known about an object. Errors as Read.
func (d Door) Head(ctx context.Context, account, container, path string) (Object, error) {
	c, err := d.enter(ctx, account, container, onPath, path, ActionRead)
	if err != nil {
		return Object{}, err
	}
	return d.server.Objects.Head(ctx, c.Key, path)
}

// List reads a page of the objects that a query selects. Errors as Read.
func (d Door) List(ctx context.Context, account, container string, query ListQuery) (Page, error) {
	c, err := d.enter(ctx, account, container, onPrefix, query.Prefix, ActionRead)
	if err != nil {
		return Page{}, err
	}
	return d.server.Objects.List(ctx, c.Key, query)
}

// Write makes an object of all that content holds. Errors as Read, and Unavailable when the medium is full.
func (d Door) Write(ctx context.Context, account, container, path string, content io.Reader, headers Headers) (Object, error) {
	c, err := d.enter(ctx, account, container, onPath, path, ActionWrite)
	if err != nil {
		return Object{}, err
	}
	draft, err := d.server.Objects.Draft(ctx)
	if err != nil {
		return Object{}, err
	}
	if _, err := io.Copy(draft, content); err != nil {
		draft.Discard()
		return Object{}, err
	}
	return d.server.Objects.Put(ctx, c.Key, path, draft, func(*Object) (Object, error) {
		return Object{Kind: BlockBlob, Headers: headers}, nil
	})
}

// Delete removes an object. Errors as Read.
func (d Door) Delete(ctx context.Context, account, container, path string) error {
	c, err := d.enter(ctx, account, container, onPath, path, ActionDelete)
	if err != nil {
		return err
	}
	return d.server.Objects.Delete(ctx, c.Key, path, func(current *Object) (Object, error) {
		if current == nil {
			return Object{}, errNoBlob()
		}
		return *current, nil
	})
}
