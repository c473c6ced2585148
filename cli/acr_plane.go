package cli

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/alvara-ml/alvara/cli/profile"
	"github.com/alvara-ml/alvara/cli/wire"
)

const (
	registryAudience = "https://containerregistry.azure.net/"
	// tokenUser is the user name under which a refresh token stands where a password is expected.
	tokenUser = "00000000-0000-0000-0000-000000000000"
	// registryUnauthorized is the code of a registry that does not know who asks; its message says how to sign in there.
	registryUnauthorized = "UNAUTHORIZED"
)

// registryPlane sends requests to one registry's login server. It signs in when the server first asks for it, with what the
// server asks for: an Entra token is exchanged for a refresh token, and that, or the name and password, for access tokens.
type registryPlane struct {
	call               *Call
	server             string // host[:port]
	username, password string // of the admin user; empty to work as whom is signed in
	refresh            string
	bearer             string // the access token that worked last
}

// planeFlags say which registry a command of the data plane works on, and as whom.
type planeFlags struct {
	registryName
	Username string `short:"u" help:"Name of the admin user, where that is turned on; without it whom is signed in."`
	Password string `short:"p" help:"Password of the admin user; '-' reads it from stdin."`
}

func (f *planeFlags) credentials(c *Call) (username, password string, err error) {
	if (f.Username == "") != (f.Password == "") {
		return "", "", usagef("--username and --password go together")
	}
	if f.Password == "-" {
		password, err := readSecret(c.Program.Stdin)
		return f.Username, password, err
	}
	return f.Username, f.Password, nil
}

func (f *planeFlags) plane(c *Call) (*registryPlane, error) {
	username, password, err := f.credentials(c)
	if err != nil {
		return nil, err
	}
	server, err := f.loginServer(c)
	if err != nil {
		return nil, err
	}
	return &registryPlane{call: c, server: server, username: username, password: password}, nil
}

// do sends a request; path starts with a slash and is escaped. A refusal is a *wire.Error.
func (p *registryPlane) do(method, path string, query url.Values, header http.Header, body any) (*wire.Response, error) {
	request := wire.Request{Method: method, URL: "https://" + p.server + path, Query: query, Header: http.Header{}, Body: body}
	for key, values := range header {
		request.Header[key] = values
	}
	for attempt := 0; ; attempt++ {
		if p.bearer != "" {
			request.Header.Set("Authorization", "Bearer "+p.bearer)
		}
		response, err := p.call.client.Do(p.call.ctx, request)
		var refused *wire.Error
		if attempt > 0 || !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
			return response, err
		}
		asked, err := p.challenge(refused)
		if err != nil {
			return nil, err
		}
		if p.bearer, err = p.token(asked); err != nil {
			return nil, err
		}
	}
}

// challenge is what a server says in WWW-Authenticate. Realm must be at the server itself: nothing of ours goes elsewhere.
type challenge struct{ realm, service, scope string }

func (p *registryPlane) challenge(refused *wire.Error) (challenge, error) {
	given := parseChallenge(refused.Challenge)
	asked := challenge{realm: given["realm"], service: given["service"], scope: given["scope"]}
	if asked.realm == "" || asked.service == "" {
		return asked, fmt.Errorf("%s does not ask for a token as a registry does: %w", p.server, refused)
	}
	realm, err := url.Parse(asked.realm)
	if err != nil || realm.Scheme != "https" || !strings.EqualFold(realm.Host, p.server) {
		return asked, fmt.Errorf("the registry %s sends for its tokens to %q, which is another server; no credential is sent there", p.server, asked.realm)
	}
	return asked, nil
}

// greet asks the server how to sign in, without a token.
func (p *registryPlane) greet() (challenge, error) {
	_, err := p.call.client.Do(p.call.ctx, wire.Request{Method: http.MethodGet, URL: "https://" + p.server + "/v2/"})
	var refused *wire.Error
	switch {
	case err == nil:
		return challenge{}, fmt.Errorf("%s lets everyone in and is no registry of this kind: there is nothing to sign in to", p.server)
	case !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized:
		return challenge{}, err
	}
	return p.challenge(refused)
}

// exchange gives a refresh token of the registry for an Entra token of whom is signed in.
func (p *registryPlane) exchange(service string) (string, error) {
	if p.refresh != "" {
		return p.refresh, nil
	}
	token, err := p.call.issuer.Token(p.call.ctx, registryAudience)
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"access_token"}, "service": {service}, "access_token": {token.AccessToken}}
	if tenant := first(p.call.active.Session.Tenant, profile.ClaimsOf(token.AccessToken).TenantID); tenant != "" {
		form.Set("tenant", tenant)
	}
	p.refresh, err = p.granted("/oauth2/exchange", "refresh_token", wire.Request{Method: http.MethodPost, Body: []byte(form.Encode()), Header: formHeader()})
	return p.refresh, err
}

// token gives an access token for what the server asked for.
func (p *registryPlane) token(asked challenge) (string, error) {
	if p.username != "" {
		query := url.Values{"service": {asked.service}, "account": {p.username}}
		if asked.scope != "" {
			query.Set("scope", asked.scope)
		}
		basic := base64.StdEncoding.EncodeToString([]byte(p.username + ":" + p.password))
		return p.granted("/oauth2/token", "access_token", wire.Request{Method: http.MethodGet, Query: query, Header: http.Header{"Authorization": {"Basic " + basic}}})
	}
	refresh, err := p.exchange(asked.service)
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"refresh_token"}, "service": {asked.service}, "scope": {asked.scope}, "refresh_token": {refresh}}
	return p.granted("/oauth2/token", "access_token", wire.Request{Method: http.MethodPost, Body: []byte(form.Encode()), Header: formHeader()})
}

func (p *registryPlane) granted(path, field string, request wire.Request) (string, error) {
	request.URL = "https://" + p.server + path
	response, err := p.call.client.Do(p.call.ctx, request)
	if err != nil {
		return "", err
	}
	answer, err := response.Object()
	if err != nil {
		return "", err
	}
	if token := answer.Text(field); token != "" {
		return token, nil
	}
	return "", fmt.Errorf("%s%s answered without a %s", p.server, path, field)
}

func formHeader() http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
}

// parseChallenge reads the parameters of `Bearer a="b",c="d"`; another scheme has none.
func parseChallenge(text string) map[string]string {
	out := map[string]string{}
	scheme, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return out
	}
	for rest = strings.TrimLeft(rest, " ,"); rest != ""; rest = strings.TrimLeft(rest, " ,") {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			break
		}
		value := ""
		if strings.HasPrefix(after, `"`) {
			value, rest, ok = strings.Cut(after[1:], `"`)
			if !ok {
				break
			}
		} else {
			value, rest, _ = strings.Cut(after, ",")
		}
		out[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return out
}
