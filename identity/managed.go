package identity

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/google/uuid"
)

// ManagedEndpoint is the address at which what Alvara runs gets tokens of its identities, in App Service's form
// (2019-08-01) and Azure ML's (2017-09-01). It belongs on a loopback listener; the run's secret is the proof.
type ManagedEndpoint struct {
	Service *Service
	Runs    *Runs
	Log     *slog.Logger // nil: no log
	// bound is the run whose own address this is; "" is everybody's address.
	bound string
}

// For is the endpoint at an address that only one run reaches, by its id: it answers that run alone, which must be a bound one.
func (m *ManagedEndpoint) For(run string) *ManagedEndpoint {
	return &ManagedEndpoint{Service: m.Service, Runs: m.Runs, Log: m.Log, bound: run}
}

// ServeHTTP answers GET …/msi/token. A wrong secret is 401; everything that a retry cannot cure is 400, because clients
// try 404, 410, 429 and 5xx again for minutes.
func (m *ManagedEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := m.answer(r)
	if err == nil {
		writeJSON(w, http.StatusOK, answer)
		return
	}
	status, message, correlation := http.StatusInternalServerError, "An unexpected error occurred while fetching the token.", uuid.NewString()
	code := "InternalServerError"
	if known, ok := resource.AsError(err); ok && known.Kind != resource.Internal {
		status, message, code = http.StatusBadRequest, known.Message, known.Code
		if known.Kind == resource.Unauthenticated {
			status = http.StatusUnauthorized
		}
	}
	if m.Log != nil {
		m.Log.InfoContext(r.Context(), "managed identity token refused", "correlation_id", correlation, "status", status, "error", err)
	}
	// App Service writes statusCode and message, IMDS error and error_description; clients read either.
	writeJSON(w, status, map[string]any{
		"statusCode": status, "message": message, "correlationId": correlation,
		"error": code, "error_description": message,
	})
}

func (m *ManagedEndpoint) answer(r *http.Request) (map[string]string, error) {
	query := r.URL.Query()
	if forwarded(r.Header) {
		return nil, resource.Invalidf("invalid_request", "The request came through a proxy; the endpoint answers the run itself only.")
	}
	secret := r.Header.Get("X-IDENTITY-HEADER")
	if secret == "" {
		secret = r.Header.Get("Secret")
	}
	run, ok := m.Runs.find(secret, m.bound)
	if !ok {
		return nil, unauthenticated("unauthorized_client", "The secret is missing or wrong; send IDENTITY_HEADER in the header X-IDENTITY-HEADER, or MSI_SECRET in the header secret.")
	}
	switch {
	case r.Method != http.MethodGet:
		return nil, resource.Invalidf("invalid_request", "The method is %s; only GET is answered.", r.Method)
	case !strings.HasSuffix(strings.TrimSuffix(r.URL.Path, "/"), "/msi/token"):
		return nil, resource.Invalidf("invalid_request", "The path %s is not the endpoint's; use IDENTITY_ENDPOINT or MSI_ENDPOINT as it is.", r.URL.Path)
	case query.Get("api-version") != "2019-08-01" && query.Get("api-version") != "2017-09-01":
		return nil, resource.Invalidf("invalid_request", "api-version is %q; it must be 2019-08-01 or 2017-09-01.", query.Get("api-version")).At("api-version")
	case query.Get("resource") == "":
		return nil, resource.Invalidf("invalid_request", "The parameter resource is missing; name what the token is for.").At("resource")
	}
	principal, err := m.choose(run, query.Get)
	if err != nil {
		return nil, err
	}
	set, err := m.Service.IssueManaged(r.Context(), principal.ID, query.Get("resource"))
	if err != nil {
		return nil, err
	}
	if m.Log != nil {
		m.Log.InfoContext(r.Context(), "managed identity token issued", "run", run.ID, "principal", principal.ID, "resource", set.Resource)
	}
	seconds := func(n int64) string { return strconv.FormatInt(n, 10) }
	return map[string]string{
		"access_token": set.AccessToken, "token_type": "Bearer", "resource": set.Resource, "client_id": principal.ClientID,
		"expires_on": seconds(set.Expires.Unix()), "not_before": seconds(set.NotBefore.Unix()),
		"expires_in": seconds(set.Expires.Unix() - set.NotBefore.Unix()),
	}, nil
}

// forwarded tells that somebody hands on what another one asked for.
func forwarded(header http.Header) bool {
	for name := range header { // in canonical form
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

// choose finds the identity that is asked for among those of the run.
func (m *ManagedEndpoint) choose(run Run, parameter func(string) string) (Principal, error) {
	var name, value string
	for _, candidate := range []string{"client_id", "clientid", "principal_id", "object_id", "mi_res_id", "msi_res_id"} {
		if v := parameter(candidate); v != "" {
			if name != "" {
				return Principal{}, resource.Invalidf("invalid_request", "Both %s and %s are there; name the identity one way.", name, candidate).At(candidate)
			}
			name, value = candidate, v
		}
	}
	if name == "" {
		name, value = "principal_id", run.Default
		if value == "" && len(run.Identities) == 1 {
			value = run.Identities[0]
		}
		if value == "" {
			return Principal{}, resource.Invalidf("invalid_request", "The run has %d identities and none of them is the default; name one by client_id, object_id or mi_res_id.", len(run.Identities))
		}
	}
	for _, id := range run.Identities {
		principal, active := m.Service.config.Directory.Active(id)
		if !active {
			continue
		}
		known := principal.ID
		switch name {
		case "client_id", "clientid":
			known = principal.ClientID
		case "mi_res_id", "msi_res_id":
			known = principal.ResourceID
		}
		if known != "" && strings.EqualFold(known, value) {
			return principal, nil
		}
	}
	return Principal{}, resource.Invalidf("invalid_request", "Identity not found: the run has no identity with %s '%s'.", name, value).At(name)
}
