package blob

import (
	"context"
	"strings"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// subject is who asks, and what of its rights the proof carries.
type subject struct {
	principal identity.Principal
	byKey     bool   // an account key signed: no role decides
	grant     *grant // the SAS, when there is one
}

// authenticate finds out who asks. An account that does not exist is told apart from one that does only afterwards.
func (s *Server) authenticate(ctx context.Context, q *request) error {
	var err error
	account, missing := s.Catalog.Account(ctx, q.at.account)
	if missing != nil && resource.KindOf(missing) != resource.NotFound {
		return missing
	}
	if missing != nil {
		account = Account{Name: q.at.account}
	}
	q.account = account
	if q.who, err = s.identify(ctx, q, account, q.http.Host, q.header("Authorization"), sasOf(q.query), q.subjectAddress()); err != nil {
		return err
	}
	if missing != nil {
		return resource.NotFoundf("ResourceNotFound", "there is no storage account %q", q.at.account)
	}
	if q.source != nil {
		return s.authenticateSource(ctx, q)
	}
	return nil
}

// identify takes the proof that a request carries: a SAS in its URL, or the Authorization header.
func (s *Server) identify(ctx context.Context, q *request, account Account, host, authorization string, sas sasQuery, at address) (subject, error) {
	if sas.signed() {
		return s.identifySAS(ctx, q, account, host, authorization, sas, at)
	}
	scheme, credentials, _ := strings.Cut(authorization, " ")
	switch {
	case authorization == "":
		return subject{}, resource.Errorf(resource.Unauthenticated, "NoAuthenticationInformation",
			"Server failed to authenticate the request. Please refer to the information in the www-authenticate header.")
	case strings.EqualFold(scheme, "Bearer"):
		principal, err := s.Authenticator.Authenticate(ctx, strings.TrimSpace(credentials), Audience)
		return subject{principal: principal}, err
	case strings.EqualFold(scheme, "SharedKey"):
		if !account.AllowSharedKey {
			return subject{}, resource.Forbiddenf("KeyBasedAuthenticationNotPermitted",
				"Key based authentication is not permitted on this storage account. Sign in and use a token, or turn allowSharedKeyAccess on.")
		}
		if err := s.checkSharedKey(q.http, account, credentials); err != nil {
			return subject{}, err
		}
		return subject{byKey: true}, nil
	}
	return subject{}, resource.Errorf(resource.Unauthenticated, "InvalidAuthenticationInfo",
		"the authorization scheme %q is not offered; send a bearer token", scheme)
}

// authenticateSource finds out who reads the source of a copy: the SAS of the source's own URL, the token of the
// header x-ms-copy-source-authorization, or else the caller.
func (s *Server) authenticateSource(ctx context.Context, q *request) error {
	account, err := s.Catalog.Account(ctx, q.source.at.account)
	if err != nil {
		if resource.KindOf(err) == resource.NotFound {
			return resource.NotFoundf("CannotVerifyCopySource", "there is no storage account %q", q.source.at.account)
		}
		return err
	}
	q.source.account = account
	sas, authorization := sasOf(q.source.query), q.header("x-ms-copy-source-authorization")
	switch {
	case sas.signed() || authorization != "":
		q.source.who, err = s.identify(ctx, q, account, q.source.host, authorization, sas, q.source.at)
	case q.who.grant != nil && !q.who.grant.covers(account, q.source.at.container, q.source.at.path),
		q.who.byKey && !account.ID.Equal(q.account.ID):
		return resource.Forbiddenf("CannotVerifyCopySource", "the proof that came with the request does not reach the source; "+
			"put a SAS into its URL or send x-ms-copy-source-authorization")
	default:
		q.source.who = q.who
	}
	return err
}

// authorize puts every need of the operation to the Guard, and then looks at what is there.
func (s *Server) authorize(ctx context.Context, q *request) error {
	if q.at.container != "" {
		if err := checkContainerName(q.at.container); err != nil {
			return err
		}
		var err error
		if q.container, err = s.findContainer(ctx, q.account, q.at.container); err != nil {
			return err
		}
	}
	if q.source != nil {
		if err := checkContainerName(q.source.at.container); err != nil {
			return err
		}
		var err error
		if q.source.container, err = s.findContainer(ctx, q.source.account, q.source.at.container); err != nil {
			return err
		}
	}
	for _, n := range q.op.needs {
		who, container, path := q.who, q.container, q.at.path
		switch n.on {
		case onSource:
			if q.source == nil {
				return resource.Invalidf("MissingRequiredHeader", "the operation %s needs a source", q.op.name)
			}
			who, container, path = q.source.who, q.source.container, q.source.at.path
		case onPrefix:
			path = q.prefix()
		}
		if err := s.decide(ctx, q, who, n, container, path); err != nil {
			return err
		}
	}
	return nil
}

// prefix is what a listing is limited to.
func (q *request) prefix() string {
	if q.op.protocol == dfsProtocol {
		if directory := strings.Trim(q.query.Get("directory"), "/"); directory != "" {
			return directory + "/"
		}
		return ""
	}
	return q.query.Get("prefix")
}

// decide answers one need: the SAS must carry it, and the principal must hold it now.
func (s *Server) decide(ctx context.Context, q *request, who subject, n need, container Container, path string) error {
	access := Access{Who: who.principal, Data: n.data, RequestID: q.id, Client: q.client()}
	account := container.Account
	if n.on == onAccount {
		account = q.account.Name
	}
	access.Attributes = attributes(n.on, account, container, path)
	switch n.on {
	case onAccount:
		access.Scopes = append(access.Scopes, q.account.ID)
	case onContainer:
		access.Scopes, access.Target = append(access.Scopes, container.ID), container.Name
	default:
		access.Scopes, access.Target = s.scopesOf(container, path), container.Name+"/"+path
	}
	if who.grant != nil {
		if err := who.grant.permit(q, n, path); err != nil {
			return err
		}
	}
	if who.byKey {
		if s.KeyUsed != nil {
			access.Action = n.actions[0]
			s.KeyUsed(access)
		}
		return nil
	}
	return s.checkAll(ctx, access, n)
}

// scopesOf gives the scopes that a right on a path may be held on.
func (s *Server) scopesOf(container Container, path string) []resource.ID {
	scopes := []resource.ID{container.ID}
	if s.Owners != nil && container.Key != "" {
		scopes = append(scopes, s.Owners(container, path)...)
	}
	return scopes
}

// checkAll asks for all actions of a need, and when one is missing for all of its alternative.
func (s *Server) checkAll(ctx context.Context, access Access, n need) error {
	all := func(actions []string) error {
		for _, action := range actions {
			access.Action = action
			if err := s.Guard.Check(ctx, access); err != nil {
				return err
			}
		}
		return nil
	}
	err := all(n.actions)
	if err == nil || resource.KindOf(err) != resource.Forbidden || n.or == nil {
		return mismatch(err)
	}
	if all(n.or) == nil {
		return nil
	}
	return mismatch(err)
}

// mismatch gives a refusal the Storage protocols' code and first sentence, and keeps the Guard's reason.
func mismatch(err error) error {
	e, ok := resource.AsError(err)
	if !ok || e.Kind != resource.Forbidden {
		return err
	}
	copied := *e
	copied.Code = "AuthorizationPermissionMismatch"
	copied.Message = "This request is not authorized to perform this operation using this permission. " + e.Message
	return &copied
}
