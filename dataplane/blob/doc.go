// Package blob serves object storage: the Azure Blob protocol and the Data Lake (DFS) calls over the same containers,
// every request decided by a data action. It owns the wire (parsing, answers, errors), the proof of who asks (bearer
// tokens, user-delegation SAS, account keys where an account allows them) and the order of the security steps. It
// leaves the decision to a Guard, accounts and containers to a Catalog, and bytes to an Objects driver (disk, mem).
//
// How one request flows:
//
//	parse         method, query and headers become one typed operation out of the table in operations.go
//	authenticate  who asks; there is no anonymous access
//	authorize     every need that the operation's table entry lists is put to the Guard, before anything is looked up,
//	              so that a stranger cannot tell a blob that exists from one that does not
//	run           the operation's handler; it returns an error and never writes one
//	answer        one function writes errors, as XML or JSON, as the client's protocol wants them
//
// Code inside the server goes through the same Guard by Server.As.
package blob
