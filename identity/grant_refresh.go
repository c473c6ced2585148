package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

const (
	kindRefresh = "identity/refreshtokens"
	// refreshGrace is how long a refresh token may be used again after its first use: clients share a cache between
	// processes, and two may refresh at once. A later use means that somebody has a copy, and ends the session.
	refreshGrace = 60 * time.Second
	// refreshMemory is how long a used token is remembered to notice that.
	refreshMemory = 24 * time.Hour
	sweepPage     = 500
)

// refreshToken is what the store knows of a refresh token: not the token, only its SHA-256, which is a part of the key:
// /identity/refreshtokens/{session}/{hash}. All tokens that follow from one sign-in have the same session.
type refreshToken struct {
	Principal string    `json:"principal"`
	Client    string    `json:"client"`
	Resource  string    `json:"resource"` // what a token is for when the next request does not say
	Issued    time.Time `json:"issued"`   // when the user signed in
	Expires   time.Time `json:"expires"`
	Used      time.Time `json:"used"` // zero: not yet

	session string
	etag    string
	key     string
}

// refreshToken is the grant of a client that signed in before.
func (s *Service) refreshToken(ctx context.Context, r *tokenRequest) (subject, error) {
	presented := r.form.Get("refresh_token")
	if presented == "" {
		return subject{}, missing("refresh_token")
	}
	token, err := s.findRefresh(ctx, presented)
	if err != nil {
		return subject{}, err
	}
	if token == nil || !s.belongs(token, r.client) {
		return subject{}, refuse(codeRefreshInvalid, "The provided value for the 'refresh_token' is not valid: it is malformed, was revoked, or belongs to another client. Sign in again.")
	}
	if !r.now.Before(token.Expires) {
		return subject{}, refuse(codeRefreshExpired, "The refresh token has expired due to inactivity. The token was issued on %s. Sign in again.", token.Issued.Format(time.RFC3339))
	}
	principal, exists := s.config.Directory.Lookup(token.Principal)
	if !exists {
		return subject{}, refuse(codeUserUnknown, "The account does not exist in the directory %s. Sign in again with another one.", s.config.Directory.TenantID())
	}
	if user, ok := s.config.Directory.User(principal.ID); ok {
		if !user.AccountEnabled {
			return subject{}, refuse(codeUserDisabled, "The user account is disabled.")
		}
		if token.Issued.Before(user.SessionsValidFrom) {
			return subject{}, refuse(codeSessionRevoked, "The provided grant has expired due to it being revoked, a fresh auth token is needed. The account was disabled or its password changed on %s. Sign in again.", user.SessionsValidFrom.Format(time.RFC3339))
		}
	}
	if !token.Used.IsZero() && r.now.After(token.Used.Add(refreshGrace)) {
		if err := s.revokeSession(ctx, token.session); err != nil {
			return subject{}, err
		}
		return subject{}, refuse(codeSessionRevoked, "The provided grant has expired due to it being revoked: this refresh token was exchanged already, so the session has ended. Sign in again.")
	}
	return subject{principal: principal, resource: token.Resource, session: token}, nil
}

// belongs binds a refresh token to the client that it was issued to; the well-known public clients share theirs.
func (s *Service) belongs(token *refreshToken, c client) bool {
	if sameID(token.Client, c.id) {
		return true
	}
	if !c.family {
		return false
	}
	for _, known := range s.config.PublicClients {
		if sameID(known, token.Client) {
			return true
		}
	}
	return false
}

// issueRefresh makes a refresh token. One that continues a session retires the token that was presented.
func (s *Service) issueRefresh(ctx context.Context, who subject, clientID, resourceID string) (string, error) {
	now := s.config.Clock().UTC()
	session, secret := make([]byte, 16), make([]byte, 32)
	_, _ = rand.Read(session) // never fails
	_, _ = rand.Read(secret)
	next := refreshToken{
		Principal: who.principal.ID, Client: strings.ToLower(clientID), Resource: resourceID,
		Issued: now, Expires: now.Add(s.config.RefreshTokenLifetime), session: hex.EncodeToString(session),
	}
	if old := who.session; old != nil {
		next.session, next.Issued, next.Client = old.session, old.Issued, old.Client
	}
	op, err := putRefresh(refreshKey(next.session, secret), next, store.None)
	if err != nil {
		return "", err
	}
	if who.session == nil {
		_, err = s.config.Store.Apply(ctx, op)
	} else {
		err = s.replaceRefresh(ctx, who.session, now, op)
	}
	if err != nil {
		return "", err
	}
	raw, err := hex.DecodeString(next.session)
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding
	return "1." + b64.EncodeToString(raw) + "." + b64.EncodeToString(secret), nil
}

// replaceRefresh stores the next token together with the use of the old one, so that a session that ends at the same moment
// stays ended. Another use of the same token at the same time does no harm.
func (s *Service) replaceRefresh(ctx context.Context, old *refreshToken, now time.Time, next store.Op) error {
	for {
		retired := *old
		if retired.Used.IsZero() {
			retired.Used = now
		}
		if limit := retired.Used.Add(refreshMemory); limit.Before(retired.Expires) {
			retired.Expires = limit
		}
		op, err := putRefresh(old.key, retired, old.etag)
		if err != nil {
			return err
		}
		_, err = s.config.Store.Apply(ctx, op, next)
		if resource.KindOf(err) != resource.PreconditionFailed {
			return err
		}
		old, err = s.readRefresh(ctx, old.key)
		if err != nil {
			return err
		}
		if old == nil {
			return refuse(codeSessionRevoked, "The provided grant has expired due to it being revoked, a fresh auth token is needed. Sign in again.")
		}
	}
}

// findRefresh finds the token that was presented; nil when there is no such token.
func (s *Service) findRefresh(ctx context.Context, presented string) (*refreshToken, error) {
	parts := strings.Split(presented, ".")
	if len(parts) != 3 || parts[0] != "1" {
		return nil, nil
	}
	session, errSession := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	secret, errSecret := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if errSession != nil || errSecret != nil || len(session) != 16 || len(secret) != 32 {
		return nil, nil
	}
	return s.readRefresh(ctx, refreshKey(hex.EncodeToString(session), secret))
}

func (s *Service) readRefresh(ctx context.Context, key string) (*refreshToken, error) {
	document, err := s.config.Store.Get(ctx, key)
	if resource.KindOf(err) == resource.NotFound && err != nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeRefresh(document)
}

func decodeRefresh(document store.Document) (*refreshToken, error) {
	token := &refreshToken{etag: document.ETag, key: document.Key}
	if err := json.Unmarshal(document.Body, token); err != nil {
		return nil, fmt.Errorf("identity: %s: %w", document.Key, err)
	}
	token.session, _, _ = strings.Cut(strings.TrimPrefix(document.Key, "/"+kindRefresh+"/"), "/")
	return token, nil
}

func putRefresh(key string, token refreshToken, etag string) (store.Op, error) {
	body, err := json.Marshal(token)
	if err != nil {
		return nil, fmt.Errorf("identity: %s: %w", key, err)
	}
	return store.Put{Key: key, Kind: kindRefresh, Body: body, IfMatch: etag}, nil
}

func refreshKey(session string, secret []byte) string {
	sum := sha256.Sum256(secret)
	return "/" + kindRefresh + "/" + session + "/" + hex.EncodeToString(sum[:])
}

// revokeSession removes every refresh token that followed from one sign-in.
func (s *Service) revokeSession(ctx context.Context, session string) error {
	documents, err := s.config.Store.List(ctx, store.Query{Kind: kindRefresh, Prefix: "/" + kindRefresh + "/" + session + "/"})
	if err != nil {
		return err
	}
	return s.deleteRefresh(ctx, documents)
}

// sweepRefreshTokens removes the tokens that have expired.
func (s *Service) sweepRefreshTokens(ctx context.Context) error {
	after, now := "", s.config.Clock()
	for {
		documents, err := s.config.Store.List(ctx, store.Query{Kind: kindRefresh, After: after, Limit: sweepPage})
		if err != nil || len(documents) == 0 {
			return err
		}
		var expired []store.Document
		for _, document := range documents {
			if token, err := decodeRefresh(document); err != nil || !now.Before(token.Expires) {
				expired = append(expired, document)
			}
		}
		if err := s.deleteRefresh(ctx, expired); err != nil {
			return err
		}
		after = documents[len(documents)-1].Key
	}
}

func (s *Service) deleteRefresh(ctx context.Context, documents []store.Document) error {
	for _, document := range documents {
		_, err := s.config.Store.Apply(ctx, store.Delete{Key: document.Key})
		if err != nil && resource.KindOf(err) != resource.NotFound {
			return err
		}
	}
	return nil
}
