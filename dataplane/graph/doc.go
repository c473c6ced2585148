// Package graph serves the part of Microsoft Graph (v1.0, and the same under beta) that tools need to manage who is who:
// users, groups and their members, applications with their credentials, and service principals. It owns the wire: paths,
// OData shapes, filters, pages, and the form of errors. Who exists is the directory's affair, and who may change it the
// guard's.
//
// Every request takes the same way (see handle): authenticate, find the operation, authorize, run. Operations stand in one
// table (see table). Reading is open to every principal of the tenant, as it is for users in Entra, and is recorded in the
// audit log. A change needs the operation Microsoft.Directory/… on the root scope, which the guard decides and records.
// Managed identities come and go with the resources that carry them and cannot be changed here.
package graph
