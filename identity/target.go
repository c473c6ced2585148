package identity

import (
	"net/url"
	"slices"
	"strings"
)

// target is what a token is asked for.
type target struct {
	version  int    // 1 with resource=, 2 with scope=
	resource string // the identifier as asked: it becomes the audience, slash included
	scope    string // the scopes as asked, to be echoed
	openID   bool   // an id_token is wanted
	offline  bool   // a refresh token is wanted
}

// validateTarget reads resource= (v1) or scope= (v2). All scopes of one request must be of one resource.
func (s *Service) validateTarget(form url.Values, v2Path bool, g grant) (target, error) {
	t := target{version: 2, scope: form.Get("scope")}
	asked := strings.Fields(t.scope)
	t.openID = slices.Contains(asked, "openid")
	t.offline = slices.Contains(asked, "offline_access")
	if identifier := form.Get("resource"); identifier != "" {
		if v2Path {
			return target{}, refuse(codeParameterRefused, "The 'resource' request parameter is not supported; ask by 'scope', with '/.default' after the resource.")
		}
		// v1 clients have a refresh token without asking for it.
		t.version, t.resource, t.offline = 1, identifier, true
		_, err := s.findResource(identifier)
		return t, err
	}
	for _, scope := range asked {
		if slices.Contains([]string{"openid", "offline_access", "profile", "email"}, scope) {
			continue
		}
		identifier, permission := splitScope(scope)
		switch {
		case g.confidential && permission != ".default":
			return target{}, refuse(codeScopeNotDefault, "The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", scope)
		case identifier == "":
			identifier = s.config.DefaultResource // a bare permission such as User.Read
		}
		if t.resource != "" && t.resource != identifier {
			return target{}, refuse(codeScopeInvalid, "The provided value for the input parameter 'scope' is not valid. It names two resources, %s and %s; ask for one token each.", t.resource, identifier)
		}
		t.resource = identifier
	}
	switch {
	case t.resource == "" && g.scopeOptional && len(asked) == 0:
		return t, nil
	case t.resource == "" && len(asked) == 0 && v2Path:
		return target{}, missing("scope")
	case t.resource == "" && len(asked) == 0:
		return target{}, missing("resource")
	case t.resource == "" && g.confidential:
		return target{}, refuse(codeScopeInvalid, "The provided value for the input parameter 'scope' is not valid. The scope '%s' names no resource; add its identifier with '/.default'.", t.scope)
	case t.resource == "":
		t.resource = s.config.DefaultResource
	}
	_, err := s.findResource(t.resource)
	return t, err
}

// splitScope cuts the permission off: https://arm.x//.default is .default on https://arm.x/, the double slash being real.
func splitScope(scope string) (identifier, permission string) {
	at := strings.LastIndexByte(scope, '/')
	if at < 0 {
		return "", scope
	}
	return scope[:at], scope[at+1:]
}

func (s *Service) findResource(identifier string) (Resource, error) {
	for _, r := range s.config.Resources {
		if r.holds(identifier) {
			return r, nil
		}
	}
	return Resource{}, refuse(codeResourceUnknown, "The resource principal named %s was not found in the tenant named %s. "+
		"This can happen if the resource is not one that this server offers, or its address is mistyped.", identifier, s.config.Directory.TenantID())
}
