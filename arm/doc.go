// Package arm is the resource manager. A resource type is declared once, with Define; from the declaration come its
// routes, permissions, validation, listing, ETags, long-running operations and errors. The package owns the request
// pipeline and the wire format of Azure Resource Manager. It knows no resource type itself: providers declare them.
//
// A request's way, the same for HTTP and for the server's own code acting as somebody (Manager.Do):
//
//	parse the path into a Target → authenticate → check the api-version → read the body → find the type
//	→ authorize (the permission of the verb on the resource, and every linked scope) → validate → commit → answer
//
// A write is one atomic change, and depends in it on what it was checked against: its parent and what it refers to being
// there, its name being free. A request that loses a race is repeated from its authorization on.
//
// A handler is reached only after authorization, and cannot be registered beside the pipeline.
package arm
