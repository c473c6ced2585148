package identity

// Type says what kind of thing a principal is.
type Type string

// The principal types, as role assignments name them.
const (
	User             Type = "User"
	Group            Type = "Group"
	ServicePrincipal Type = "ServicePrincipal" // applications and managed identities
)

// Principal is who asks: the holder of a verified token, with the groups that the directory says it belongs to now.
type Principal struct {
	ID         string   // object id, a lower-case GUID
	Type       Type     // User or ServicePrincipal
	TenantID   string   // the directory that it lives in
	ClientID   string   // the application's or managed identity's client id; "" for users
	Name       string   // user principal name, or display name
	ResourceID string   // for managed identities: the resource that carries it
	Groups     []string // object ids of all groups that hold it, directly or through other groups
}
