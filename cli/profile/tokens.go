package profile

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alvara-ml/alvara/cli/wire"
)

// The resources that tokens are asked for, as the original names them.
const (
	ResourceManager = "https://management.azure.com/"
	Storage         = "https://storage.azure.com/"
	Graph           = "https://graph.microsoft.com/"
	MachineLearning = "https://ml.azure.com/"
)

// PublicClient is the client id under which the command line signs users in.
const PublicClient = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

// Issuer gets tokens for a session, keeps them until shortly before they expire, and remembers what the server
// renewed. It is safe for concurrent use.
type Issuer struct {
	Active *Active
	Store  Store
	HTTP   *http.Client
	Env    func(string) string
	Now    func() time.Time

	mu sync.Mutex
}

const margin = 2 * time.Minute

// Token gives an access token for a resource. A refusal of the token service is a *wire.Error.
func (i *Issuer) Token(ctx context.Context, resource string) (Token, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	session := i.Active.Session
	if token, ok := session.Tokens[resource]; ok && token.ExpiresOn.After(i.Now().Add(margin)) {
		return token, nil
	}
	granted, err := i.request(ctx, session, resource)
	if err != nil {
		return Token{}, err
	}
	if session.Tokens == nil {
		session.Tokens = map[string]Token{}
	}
	session.Tokens[resource] = granted.token
	if granted.refresh != "" {
		session.RefreshToken = granted.refresh
	}
	if !i.Active.stored {
		return granted.token, nil
	}
	err = i.Store.Update(func(p *Profile) error {
		stored := p.Sessions[session.Key()]
		if stored == nil { // signed out meanwhile
			return nil
		}
		if stored.Tokens == nil {
			stored.Tokens = map[string]Token{}
		}
		for name, token := range stored.Tokens {
			if token.ExpiresOn.Before(i.Now()) {
				delete(stored.Tokens, name)
			}
		}
		stored.Tokens[resource], stored.RefreshToken = granted.token, session.RefreshToken
		return nil
	})
	return granted.token, err
}

type grant struct {
	token   Token
	refresh string
}

func (i *Issuer) request(ctx context.Context, session *Session, resource string) (grant, error) {
	if session.Kind == ManagedIdentity {
		return i.managedIdentity(ctx, session, resource)
	}
	form := url.Values{"scope": {strings.TrimRight(resource, "/") + "/.default offline_access"}}
	switch session.Kind {
	case Refresh:
		form.Set("grant_type", "refresh_token")
		form.Set("client_id", PublicClient)
		form.Set("refresh_token", session.RefreshToken)
	case ServicePrincipal:
		form.Set("grant_type", "client_credentials")
		form.Set("scope", strings.TrimRight(resource, "/")+"/.default")
		form.Set("client_id", session.ClientID)
		if session.ClientSecret != "" {
			form.Set("client_secret", session.ClientSecret)
			break
		}
		assertion := session.FederatedToken
		if session.Certificate != "" {
			signed, err := certificateAssertion(session.Certificate, session.ClientID, i.tokenURL(session), i.Now())
			if err != nil {
				return grant{}, err
			}
			assertion = signed
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	default:
		return grant{}, fmt.Errorf("the profile holds a sign-in of the unknown kind %q; sign in again", session.Kind)
	}
	return i.post(ctx, session, form)
}

// Password signs a user in by name and password, where the server allows that grant.
func (i *Issuer) Password(ctx context.Context, session *Session, user, password string) error {
	granted, err := i.post(ctx, session, url.Values{
		"grant_type": {"password"}, "client_id": {PublicClient}, "username": {user}, "password": {password},
		"scope": {strings.TrimRight(ResourceManager, "/") + "/.default offline_access openid profile"},
	})
	if err != nil {
		return err
	}
	if granted.refresh == "" {
		return fmt.Errorf("the token service gave no refresh token")
	}
	session.RefreshToken = granted.refresh
	session.Tokens = map[string]Token{ResourceManager: granted.token}
	return nil
}

func (i *Issuer) tokenURL(session *Session) string {
	tenant := session.Tenant
	if tenant == "" {
		tenant = "organizations"
	}
	return i.Active.Endpoints.Authority + "/" + url.PathEscape(tenant) + "/oauth2/v2.0/token"
}

func (i *Issuer) post(ctx context.Context, session *Session, form url.Values) (grant, error) {
	if i.Active.Endpoints.Authority == "" {
		return grant{}, fmt.Errorf("the address of the token service is unknown: set AZURE_AUTHORITY_HOST, or sign in with `alvara login --data DIR`")
	}
	client := &wire.Client{HTTP: i.HTTP}
	response, err := client.Do(ctx, wire.Request{
		Method: http.MethodPost, URL: i.tokenURL(session), Body: []byte(form.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	})
	if err != nil {
		return grant{}, err
	}
	return readGrant(response.Body, i.Now())
}

func readGrant(body []byte, now time.Time) (grant, error) {
	var answer struct {
		AccessToken  string      `json:"access_token"`
		RefreshToken string      `json:"refresh_token"`
		ExpiresIn    json.Number `json:"expires_in"`
		ExpiresOn    json.Number `json:"expires_on"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return grant{}, fmt.Errorf("the token service answered with something else than JSON: %w", err)
	}
	if answer.AccessToken == "" {
		return grant{}, fmt.Errorf("the token service answered without an access token")
	}
	granted := grant{token: Token{AccessToken: answer.AccessToken}, refresh: answer.RefreshToken}
	if on, err := strconv.ParseInt(answer.ExpiresOn.String(), 10, 64); err == nil && on > 0 {
		granted.token.ExpiresOn = time.Unix(on, 0).UTC()
	} else if in, err := strconv.ParseInt(answer.ExpiresIn.String(), 10, 64); err == nil {
		granted.token.ExpiresOn = now.Add(time.Duration(in) * time.Second).UTC().Truncate(time.Second)
	}
	return granted, nil
}

// managedIdentity asks the identity endpoint of the place where we run, in the App-Service form (IDENTITY_ENDPOINT,
// IDENTITY_HEADER) or the Azure-ML form (MSI_ENDPOINT, MSI_SECRET).
func (i *Issuer) managedIdentity(ctx context.Context, session *Session, resource string) (grant, error) {
	query := url.Values{"resource": {strings.TrimRight(resource, "/")}, "api-version": {"2019-08-01"}}
	endpoint, header, clientParameter := i.Env("IDENTITY_ENDPOINT"), http.Header{"X-Identity-Header": {i.Env("IDENTITY_HEADER")}}, "client_id"
	clientID := session.ClientID
	if endpoint == "" {
		endpoint, header, clientParameter = i.Env("MSI_ENDPOINT"), http.Header{"Secret": {i.Env("MSI_SECRET")}}, "clientid"
		query.Set("api-version", "2017-09-01")
		if clientID == "" {
			clientID = i.Env("DEFAULT_IDENTITY_CLIENT_ID")
		}
	}
	if endpoint == "" {
		return grant{}, fmt.Errorf("there is no identity endpoint here: IDENTITY_ENDPOINT and MSI_ENDPOINT are not set. It exists only inside what the server runs, such as jobs")
	}
	if clientID != "" {
		query.Set(clientParameter, clientID)
	}
	target := endpoint
	if strings.Contains(target, "?") {
		target += "&" + query.Encode()
	} else {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return grant{}, err
	}
	request.Header = header
	request.Header.Set("Metadata", "true")
	response, err := i.HTTP.Do(request)
	if err != nil {
		return grant{}, fmt.Errorf("asking the identity endpoint: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return grant{}, err
	}
	if response.StatusCode != http.StatusOK {
		return grant{}, wire.ReadError(response.StatusCode, response.Header, body)
	}
	return readGrant(body, i.Now())
}
