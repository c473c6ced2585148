// Package identity knows who is who: the directory of users, groups, service principals and managed identities, the
// token service that speaks the Entra protocols, and the authenticator that turns a bearer token into a Principal. It
// decides nothing about what a principal may do.
package identity
