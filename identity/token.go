package identity

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const maxBody = 1 << 20

// grant is one way to prove whom a token is for. The pipeline does everything else.
type grant struct {
	confidential  bool // the client must prove itself
	user          bool // the token is for a user
	scopeOptional bool // without scope or resource, the subject says what the token is for
	subject       func(context.Context, *tokenRequest) (subject, error)
}

// subject is whom a token is for.
type subject struct {
	principal Principal
	resource  string        // what the token is for, when the request does not say
	session   *refreshToken // the refresh token that was presented; the next one continues its session
}

// tokenRequest is a request that has passed the steps before the grant's.
type tokenRequest struct {
	form      url.Values
	authority string
	now       time.Time
	client    client
	target    target
}

// token is the pipeline of every token request.
func (s *Service) token(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.checkTenant(r); err != nil {
		return err
	}
	form, err := parseForm(w, r)
	if err != nil {
		return err
	}
	g, ok := s.grants[form.Get("grant_type")]
	switch {
	case form.Get("grant_type") == "":
		return missing("grant_type")
	case !ok:
		return refuse(codeGrantUnsupported, "The app requested an unsupported grant type '%s'; this service has %s.",
			form.Get("grant_type"), strings.Join(sortedKeys(s.grants), ", "))
	}
	request := &tokenRequest{form: form, authority: s.authority(r), now: s.config.Clock()}
	if request.client, err = s.authenticateClient(r, request, g.confidential); err != nil {
		return err
	}
	v2Path := strings.HasSuffix(r.URL.Path, "/v2.0/token")
	if request.target, err = s.validateTarget(form, v2Path, g); err != nil {
		return err
	}
	who, err := g.subject(r.Context(), request)
	if err != nil {
		return err
	}
	if request.target.resource == "" {
		request.target.resource = who.resource
		if _, err := s.findResource(who.resource); err != nil {
			return err
		}
	}
	if err := s.checkActive(who.principal); err != nil {
		return err
	}
	answer, err := s.answer(r.Context(), request, who)
	if err != nil {
		return err
	}
	if r.Header.Get("return-client-request-id") == "true" {
		w.Header().Set("client-request-id", correlationID(r))
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// parseForm reads the body. A parameter that is there twice is refused: who reads the first and who reads the second would
// decide on different things.
func parseForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, refuse(codeBodyMalformed, "Invalid request. The body must be a form: Content-Type application/x-www-form-urlencoded.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, refuse(codeBodyMalformed, "Invalid request. The body has more than %d bytes.", maxBody)
		}
		return nil, refuse(codeBodyMalformed, "Invalid request. The body is not a form.").because(err)
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return nil, refuse(codeBodyMalformed, "Invalid request. The parameter '%s' is there %d times.", name, len(values))
		}
	}
	return r.PostForm, nil
}

func missing(parameter string) *oauthError {
	return refuse(codeParameterMissing, "The request body must contain the following parameter: '%s'.", parameter)
}

// checkActive is the last check before a token is issued: the principal exists and is enabled, as the directory knows now.
func (s *Service) checkActive(p Principal) error {
	if _, active := s.config.Directory.Active(p.ID); active {
		return nil
	}
	if _, exists := s.config.Directory.Lookup(p.ID); !exists {
		return refuse(codeUserUnknown, "The account %s does not exist in the directory %s.", p.Name, s.config.Directory.TenantID())
	}
	if p.Type == User {
		return refuse(codeUserDisabled, "The user account is disabled.")
	}
	return refuse(codeClientDisabled, "Application '%s' is disabled.", p.ClientID)
}
