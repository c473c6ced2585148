package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// TokenSet is what a sign-in gives.
type TokenSet struct {
	AccessToken  string
	RefreshToken string // "" when none was asked for
	Resource     string // the access token's audience
	NotBefore    time.Time
	Expires      time.Time
}

// accessClaims are the claims of an access token. Those of a v1 token are the same except for ver, iss and the names under
// which the client and the user stand.
type accessClaims struct {
	Audience   string `json:"aud"`
	Issuer     string `json:"iss"`
	IssuedAt   int64  `json:"iat"`
	NotBefore  int64  `json:"nbf"`
	Expires    int64  `json:"exp"`
	AppID      string `json:"appid,omitempty"`    // v1
	AppProof   string `json:"appidacr,omitempty"` // v1: "0" none, "1" secret, "2" assertion
	Azp        string `json:"azp,omitempty"`      // v2
	AzpProof   string `json:"azpacr,omitempty"`   // v2
	IDP        string `json:"idp,omitempty"`
	IDType     string `json:"idtyp"` // app or user
	Name       string `json:"name,omitempty"`
	ObjectID   string `json:"oid"`
	Preferred  string `json:"preferred_username,omitempty"`
	Scope      string `json:"scp,omitempty"`
	Subject    string `json:"sub"`
	TenantID   string `json:"tid"`
	UniqueName string `json:"unique_name,omitempty"`
	UPN        string `json:"upn,omitempty"`
	ID         string `json:"uti"`
	Version    string `json:"ver"`
	ResourceID string `json:"xms_mirid,omitempty"` // the resource that carries the managed identity
}

// issuance is everything that makes an access token.
type issuance struct {
	principal Principal
	clientID  string
	proof     string
	audience  string
	authority string
	version   int
	lifetime  time.Duration // 0: the service's
}

// access makes an access token.
func (s *Service) access(i issuance) (TokenSet, error) {
	now := s.config.Clock()
	if i.lifetime <= 0 {
		i.lifetime = s.config.AccessTokenLifetime
	}
	if i.lifetime <= 0 {
		i.lifetime = minAccessLifetime + rand.N(maxAccessLifetime-minAccessLifetime)
	}
	expires := now.Add(i.lifetime)
	p := i.principal
	issuer := issuerOf(i.authority, p.TenantID, i.version)
	c := accessClaims{
		Audience: i.audience, Issuer: issuer, IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: expires.Unix(),
		IDP: issuer, IDType: "app", ObjectID: p.ID, Subject: p.ID, TenantID: p.TenantID, ID: randomText(16),
		Version: strconv.Itoa(i.version) + ".0", ResourceID: p.ResourceID,
	}
	if i.version == 1 {
		c.AppID, c.AppProof = i.clientID, i.proof
	} else {
		c.Azp, c.AzpProof = i.clientID, i.proof
	}
	if p.Type == User {
		c.IDType, c.IDP, c.Scope, c.UPN, c.UniqueName, c.Preferred = "user", "", "user_impersonation", p.Name, p.Name, p.Name
		if user, ok := s.config.Directory.User(p.ID); ok {
			c.Name = user.DisplayName
		}
	}
	token, err := s.config.Keys.sign(&c)
	if err != nil {
		return TokenSet{}, err
	}
	return TokenSet{AccessToken: token, Resource: i.audience, NotBefore: now, Expires: expires}, nil
}

// answer issues what a request has earned, in the shape that MSAL reads.
func (s *Service) answer(ctx context.Context, r *tokenRequest, who subject) (map[string]any, error) {
	set, err := s.access(issuance{
		principal: who.principal, clientID: r.client.id, proof: r.client.proof,
		audience: r.target.resource, authority: r.authority, version: r.target.version,
	})
	if err != nil {
		return nil, err
	}
	seconds := set.Expires.Unix() - set.NotBefore.Unix()
	answer := map[string]any{"token_type": "Bearer", "access_token": set.AccessToken}
	if r.target.version == 1 {
		answer["expires_in"], answer["ext_expires_in"] = strconv.FormatInt(seconds, 10), strconv.FormatInt(seconds, 10)
		answer["expires_on"], answer["not_before"] = strconv.FormatInt(set.Expires.Unix(), 10), strconv.FormatInt(set.NotBefore.Unix(), 10)
		answer["resource"] = set.Resource
	} else {
		answer["expires_in"], answer["ext_expires_in"] = seconds, seconds
		if r.target.scope != "" {
			answer["scope"] = r.target.scope
		}
	}
	if who.principal.Type != User && who.session == nil {
		return answer, nil
	}
	if r.target.version == 1 && who.principal.Type == User {
		answer["scope"] = "user_impersonation"
	}
	if r.target.offline || who.session != nil {
		answer["refresh_token"], err = s.issueRefresh(ctx, who, r.client.id, set.Resource)
		if err != nil {
			return nil, err
		}
		if r.client.family {
			answer["foci"] = "1"
		}
	}
	if who.principal.Type == User {
		if r.target.openID {
			if answer["id_token"], err = s.idToken(who.principal, r); err != nil {
				return nil, err
			}
		}
		if r.form.Get("client_info") == "1" {
			info, err := json.Marshal(map[string]string{"uid": who.principal.ID, "utid": who.principal.TenantID})
			if err != nil {
				return nil, err
			}
			answer["client_info"] = base64.RawURLEncoding.EncodeToString(info)
		}
	}
	return answer, nil
}

// idToken tells the client who signed in. Its audience is the client, so no resource takes it.
func (s *Service) idToken(p Principal, r *tokenRequest) (string, error) {
	now := r.now
	claims := map[string]any{
		"aud": r.client.id, "iss": issuerOf(r.authority, p.TenantID, r.target.version),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(minAccessLifetime).Unix(),
		"oid": p.ID, "sub": p.ID, "tid": p.TenantID, "preferred_username": p.Name, "uti": randomText(16),
		"ver": strconv.Itoa(r.target.version) + ".0",
	}
	if r.target.version == 1 {
		claims["upn"], claims["unique_name"] = p.Name, p.Name
	}
	if user, ok := s.config.Directory.User(p.ID); ok {
		claims["name"] = user.DisplayName
	}
	if nonce := r.form.Get("nonce"); nonce != "" {
		claims["nonce"] = nonce
	}
	return s.config.Keys.sign(claims)
}

// IssueLocal signs a principal in without further proof: for callers that know already who asks, as the handler on the
// server's Unix socket does. The refresh token works with the same clientID over the network. Errors: NotFound or Forbidden
// for a principal that may not act, Invalid for an unknown resource.
func (s *Service) IssueLocal(ctx context.Context, principalID, clientID, resourceID string) (TokenSet, error) {
	principal, err := s.issuable(principalID, resourceID)
	if err != nil {
		return TokenSet{}, err
	}
	set, err := s.access(issuance{
		principal: principal, clientID: clientID, proof: "0", audience: resourceID, authority: s.config.Authority, version: 2,
	})
	if err != nil {
		return TokenSet{}, err
	}
	set.RefreshToken, err = s.issueRefresh(ctx, subject{principal: principal}, clientID, resourceID)
	return set, err
}

// MachineLearning is the client id by which Azure Machine Learning acts on behalf of users.
const MachineLearning = "0736f41a-0425-4b46-bdb5-1563eff02385"

// IssueManaged makes a short-lived token of a managed identity, for callers that have made sure that the identity's own
// compute asks; or of a user, for one who has that run which the user started. Errors as for IssueLocal.
func (s *Service) IssueManaged(_ context.Context, principalID, resourceID string) (TokenSet, error) {
	principal, err := s.issuable(principalID, resourceID)
	if err != nil {
		return TokenSet{}, err
	}
	i := issuance{
		principal: principal, clientID: principal.ClientID, proof: "2", audience: resourceID, authority: s.config.Authority,
		version: 1, lifetime: s.config.ManagedTokenLifetime,
	}
	if resourceID == tokenExchange {
		i.version = 2 // federated credentials are registered with the v2 issuer
	}
	if principal.Type == User {
		i.clientID = MachineLearning // through which the user acts
	}
	return s.access(i)
}

func (s *Service) issuable(principalID, resourceID string) (Principal, error) {
	principal, active := s.config.Directory.Active(principalID)
	if !active {
		if _, exists := s.config.Directory.Lookup(principalID); exists {
			return Principal{}, resource.Forbiddenf("PrincipalDisabled", "The principal %s is disabled or is a group, so it gets no tokens.", principalID)
		}
		return Principal{}, resource.NotFoundf("PrincipalNotFound", "Principal %s does not exist in the directory %s.", principalID, s.config.Directory.TenantID())
	}
	if _, err := s.findResource(resourceID); err != nil {
		return Principal{}, resource.Invalidf("InvalidResource", "The resource '%s' is not one that this server issues tokens for.", resourceID).At("resource")
	}
	return principal, nil
}
