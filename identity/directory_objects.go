package identity

import (
	"strings"
	"sync/atomic"
	"time"
)

// UserObject is a person in the directory.
type UserObject struct {
	ID                string    `json:"id"`
	UserPrincipalName string    `json:"userPrincipalName"` // name@domain, unique without regard to case
	DisplayName       string    `json:"displayName"`
	MailNickname      string    `json:"mailNickname"`
	AccountEnabled    bool      `json:"accountEnabled"`
	Created           time.Time `json:"createdDateTime"`
	SessionsValidFrom time.Time `json:"signInSessionsValidFromDateTime"` // refresh tokens from before it are refused
	PasswordHash      string    `json:"passwordHash,omitempty"`          // argon2id; never leaves the server
}

// GroupObject is a set of principals. A group may be a member of a group, and cycles do no harm.
type GroupObject struct {
	ID           string    `json:"id"`
	DisplayName  string    `json:"displayName"`
	Description  string    `json:"description,omitempty"`
	MailNickname string    `json:"mailNickname"`
	Created      time.Time `json:"createdDateTime"`
	Members      []string  `json:"members"` // object ids, sorted
}

// ApplicationObject is the registration of a program that signs in: its client id and what it proves itself with.
type ApplicationObject struct {
	ID                   string                `json:"id"`
	AppID                string                `json:"appId"` // the client id
	DisplayName          string                `json:"displayName"`
	Created              time.Time             `json:"createdDateTime"`
	IdentifierURIs       []string              `json:"identifierUris,omitempty"`
	PublicClient         bool                  `json:"isFallbackPublicClient,omitempty"` // may sign users in without proof of its own
	Passwords            []PasswordCredential  `json:"passwordCredentials,omitempty"`
	Keys                 []KeyCredential       `json:"keyCredentials,omitempty"`
	FederatedCredentials []FederatedCredential `json:"federatedIdentityCredentials,omitempty"`
}

// PasswordCredential is a client secret. Secrets are random and long, so their SHA-256 is as safe as a slow hash.
type PasswordCredential struct {
	KeyID       string    `json:"keyId"`
	DisplayName string    `json:"displayName,omitempty"`
	Hint        string    `json:"hint"` // the first three characters
	Start       time.Time `json:"startDateTime"`
	End         time.Time `json:"endDateTime"`
	Hash        []byte    `json:"hash"` // SHA-256
}

// KeyCredential is a certificate that client assertions are signed with.
type KeyCredential struct {
	KeyID            string    `json:"keyId"`
	DisplayName      string    `json:"displayName,omitempty"`
	Certificate      []byte    `json:"key"`              // X.509, DER
	ThumbprintSHA1   []byte    `json:"thumbprint"`       // what x5t names
	ThumbprintSHA256 []byte    `json:"thumbprintSha256"` // what x5t#S256 names
	Start            time.Time `json:"startDateTime"`
	End              time.Time `json:"endDateTime"`
}

// FederatedCredential lets the holder of another issuer's token act as the application or managed identity.
type FederatedCredential struct {
	ID          string   `json:"id,omitempty"`
	Name        string   `json:"name"`
	Issuer      string   `json:"issuer"` // https, compared exactly
	Subject     string   `json:"subject"`
	Audiences   []string `json:"audiences"`
	Description string   `json:"description,omitempty"`
}

// The values of ServicePrincipalObject.ServicePrincipalType.
const (
	TypeApplication     = "Application"
	TypeManagedIdentity = "ManagedIdentity"
)

// ServicePrincipalObject is what an application or a managed identity acts as.
type ServicePrincipalObject struct {
	ID                   string                `json:"id"`
	AppID                string                `json:"appId"` // the client id
	DisplayName          string                `json:"displayName"`
	ServicePrincipalType string                `json:"servicePrincipalType"`
	AccountEnabled       bool                  `json:"accountEnabled"`
	Created              time.Time             `json:"createdDateTime"`
	AlternativeNames     []string              `json:"alternativeNames,omitempty"` // managed identities: isExplicit=…, resource id
	ResourceID           string                `json:"resourceId,omitempty"`       // managed identities: the resource that carries it
	FederatedCredentials []FederatedCredential `json:"federatedIdentityCredentials,omitempty"`
}

// entry is an object in the index. Objects are never changed in place.
type entry[T any] struct {
	object   T
	etag     string
	resolved atomic.Pointer[resolved] // the principal as of a generation of memberships
}

type resolved struct {
	generation uint64
	principal  Principal
}

func sameID(a, b string) bool { return strings.EqualFold(a, b) }
