// Package registry serves container registries: the OCI distribution protocol, the token endpoints that its clients
// expect (/oauth2/exchange, /oauth2/token) and the repository calls of Azure (/acr/v1). It owns the wire (parsing,
// answers, errors), the proof of who asks, the registry's own tokens, and the order of the security steps. It leaves the
// decision to a Guard, registries to a Catalog, and repositories, manifests, locks and bytes to package content.
//
// How one request flows:
//
//	parse         method, path and query become one typed operation out of the table in operations.go
//	authenticate  who asks; there is no anonymous access
//	authorize     every need of the operation's table entry is put to the Guard, and the token must carry it, before
//	              anything is looked up: a stranger cannot tell a repository that exists from one that does not
//	run           the operation's handler; it returns an error and never writes one
//	answer        one function writes errors, in the shape of the OCI specification
package registry
