package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// oauthError is a refusal by the token service, in the words of OAuth and with the original's AADSTS code.
type oauthError struct {
	code    int
	message string
	cause   error // for the log
}

func (e *oauthError) Error() string { return fmt.Sprintf("AADSTS%d: %s", e.code, e.message) }

func (e *oauthError) Unwrap() error { return e.cause }

func refuse(code int, format string, args ...any) *oauthError {
	return &oauthError{code: code, message: fmt.Sprintf(format, args...)}
}

func (e *oauthError) because(err error) *oauthError {
	e.cause = err
	return e
}

// The codes that the service answers with.
const (
	codeInternal            = 90033   // a fault of ours
	codeTenantUnknown       = 90002   //
	codePathUnknown         = 90056   // the path is not one of the service
	codeInstanceUnknown     = 50049   // instance discovery for a host that is not ours
	codeBodyMalformed       = 9002313 //
	codeParameterMissing    = 900144  //
	codeParameterRefused    = 901002  // resource in a v2 request
	codeGrantUnsupported    = 70003   //
	codeScopeInvalid        = 70011   //
	codeScopeNotDefault     = 1002012 // client credentials without /.default
	codeResourceUnknown     = 500011  //
	codeClientUnknown       = 700016  //
	codeClientDisabled      = 7000112 //
	codeClientPublic        = 700025  // a public client presents a secret
	codeClientUnproven      = 7000218 // neither secret nor assertion
	codeSecretWrong         = 7000215 //
	codeSecretExpired       = 7000222 //
	codeAssertionType       = 700030  // malformed assertion or unknown type
	codeAssertionClient     = 700021  // the assertion is another client's
	codeAssertionAudience   = 700023  //
	codeAssertionTime       = 700024  //
	codeAssertionKey        = 700027  // unknown certificate or wrong signature
	codeAssertionReplayed   = 50146   // this assertion was used before
	codeFederationUnmatched = 70021   //
	codeFederationKeys      = 50166   // the foreign issuer's keys cannot be had
	codeRefreshInvalid      = 70000   //
	codeRefreshExpired      = 700082  //
	codeSessionRevoked      = 50173   //
	codeUserUnknown         = 50034   //
	codeUserDisabled        = 50057   //
	codePasswordWrong       = 50126   //
)

// answerFor says, for each code, OAuth's word and the status. What is not listed is invalid_request with 400.
func answerFor(code int) (word string, status int) {
	switch code {
	case codeClientDisabled, codeClientPublic, codeClientUnproven, codeSecretWrong, codeSecretExpired, codeAssertionType,
		codeAssertionClient, codeAssertionAudience, codeAssertionTime, codeAssertionKey, codeAssertionReplayed,
		codeFederationUnmatched, codeFederationKeys:
		return "invalid_client", http.StatusUnauthorized
	case codeClientUnknown:
		return "unauthorized_client", http.StatusBadRequest
	case codeScopeInvalid, codeScopeNotDefault:
		return "invalid_scope", http.StatusBadRequest
	case codeResourceUnknown:
		return "invalid_resource", http.StatusBadRequest
	case codeGrantUnsupported:
		return "unsupported_grant_type", http.StatusBadRequest
	case codeInstanceUnknown:
		return "invalid_instance", http.StatusBadRequest
	case codeRefreshInvalid, codeRefreshExpired, codeSessionRevoked, codeUserUnknown, codeUserDisabled, codePasswordWrong:
		return "invalid_grant", http.StatusBadRequest
	case codePathUnknown:
		return "invalid_request", http.StatusNotFound
	case codeInternal:
		return "temporarily_unavailable", http.StatusInternalServerError
	}
	return "invalid_request", http.StatusBadRequest
}

// writeError answers a refusal. An error that is no oauthError is a fault of ours: its text goes to the log only, under the
// same trace id.
func (s *Service) writeError(w http.ResponseWriter, r *http.Request, err error) {
	var refused *oauthError
	ok := errors.As(err, &refused)
	trace, correlation, now := uuid.NewString(), correlationID(r), s.config.Clock().UTC()
	if !ok {
		s.config.Log.ErrorContext(r.Context(), "token service failed", "trace_id", trace, "path", r.URL.Path, "error", err)
		refused = refuse(codeInternal, "A transient error has occurred. Please try again.")
	} else {
		s.config.Log.InfoContext(r.Context(), "token refused", "trace_id", trace, "path", r.URL.Path, "code", refused.code,
			"reason", refused.message, "cause", refused.cause)
	}
	word, status := answerFor(refused.code)
	stamp := now.Format("2006-01-02 15:04:05Z")
	writeJSON(w, status, map[string]any{
		"error": word,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
			refused.code, strings.TrimSpace(refused.message), trace, correlation, stamp),
		"error_codes": []int{refused.code}, "timestamp": stamp, "trace_id": trace, "correlation_id": correlation,
		"error_uri": fmt.Sprintf("%s/error?code=%d", s.authority(r), refused.code),
	})
}

// correlationID is the id that the client gave its request, or a new one.
func correlationID(r *http.Request) string {
	if id, err := uuid.Parse(r.Header.Get("client-request-id")); err == nil {
		return id.String()
	}
	return uuid.NewString()
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store, no-cache")
	w.Header().Set("Pragma", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}
