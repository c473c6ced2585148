package identity

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/store"
)

// Client ids that the original's own tools sign in with. They are public: they hold no secret.
const (
	ClientAzureCLI        = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
	ClientAzurePowerShell = "1950a258-227b-4e31-a9cf-717495945fc2"
)

// Resource is something that takes tokens: the resource manager, storage, Graph. The audience of a token is the identifier
// that was asked for, so a resource may have many.
type Resource struct {
	Name        string                       // what Authenticate is called with
	Identifiers []string                     // URIs or GUIDs; a slash at the end and the case make no difference
	Match       func(identifier string) bool // further identifiers, such as the URLs of storage accounts; may be nil
}

// holds tells whether an audience means this resource.
func (r Resource) holds(identifier string) bool {
	trimmed := strings.TrimSuffix(identifier, "/")
	for _, known := range r.Identifiers {
		if strings.EqualFold(strings.TrimSuffix(known, "/"), trimmed) {
			return true
		}
	}
	return r.Match != nil && r.Match(identifier)
}

// tokenExchange takes the tokens that managed identities present as federated credentials.
const tokenExchange = "api://AzureADTokenExchange"

// Config is what the token service needs. Directory, Keys, Store, Authority and Resources are required.
type Config struct {
	Authority string   // the service's own address, such as https://127.0.0.1:8443; issuers begin with it
	Aliases   []string // further addresses that requests may name in Host, such as https://login.example.org
	Directory *Directory
	Keys      *Keys
	Store     store.Store // holds the refresh tokens
	Resources []Resource

	DefaultResource string   // what user tokens are for when only openid scopes are asked; "": the first identifier of the first resource
	PasswordGrant   bool     // lets users sign in by password
	PublicClients   []string // client ids that need no proof; nil: Azure CLI and Azure PowerShell. They share refresh tokens.

	AccessTokenLifetime  time.Duration // 0: between 60 and 75 minutes, at random
	ManagedTokenLifetime time.Duration // of tokens from the managed-identity endpoint; 0: 30 minutes
	RefreshTokenLifetime time.Duration // 0: 90 days
	SingleUseAssertions  bool          // refuses every second use of a client assertion, see replays

	HTTPClient *http.Client // fetches the keys of foreign issuers; nil: a client with a timeout of ten seconds
	Clock      func() time.Time
	Log        *slog.Logger
}

func (c *Config) complete() error {
	switch {
	case c.Directory == nil || c.Keys == nil || c.Store == nil:
		return fmt.Errorf("identity: the token service needs a directory, keys and a store")
	case len(c.Resources) == 0 || len(c.Resources[0].Identifiers) == 0:
		return fmt.Errorf("identity: the token service needs resources to issue tokens for")
	}
	c.Authority = strings.TrimSuffix(c.Authority, "/")
	c.Aliases = slices.Clone(c.Aliases)
	for i, alias := range c.Aliases {
		c.Aliases[i] = strings.TrimSuffix(alias, "/")
	}
	for _, address := range c.authorities() {
		if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" {
			return fmt.Errorf("identity: the authority %q must have the form https://host[:port]", address)
		}
	}
	c.Resources = append(slices.Clone(c.Resources), Resource{Name: "token exchange", Identifiers: []string{tokenExchange}})
	if c.DefaultResource == "" {
		c.DefaultResource = c.Resources[0].Identifiers[0]
	}
	if c.PublicClients == nil {
		c.PublicClients = []string{ClientAzureCLI, ClientAzurePowerShell}
	}
	setDefault(&c.ManagedTokenLifetime, 30*time.Minute)
	setDefault(&c.RefreshTokenLifetime, 90*24*time.Hour)
	longest := max(c.AccessTokenLifetime, c.ManagedTokenLifetime, maxAccessLifetime)
	if c.Keys.config.KeepAfter < longest+clockSkew {
		return fmt.Errorf("identity: signing keys are kept for %v after their last use, and tokens live for up to %v", c.Keys.config.KeepAfter, longest)
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

func (c *Config) authorities() []string { return append([]string{c.Authority}, c.Aliases...) }

// issuers are the names that tokens of this service carry as iss, for each authority in the v1 and the v2 form.
func issuers(authorities []string, tenantID string) []string {
	var names []string
	for _, authority := range authorities {
		names = append(names, issuerOf(authority, tenantID, 1), issuerOf(authority, tenantID, 2))
	}
	return names
}

func issuerOf(authority, tenantID string, version int) string {
	if version == 1 {
		return authority + "/" + tenantID + "/"
	}
	return authority + "/" + tenantID + "/v2.0"
}
