// Package content is what a container registry holds, as a Go API without HTTP and without access control: repositories,
// blobs, uploads, manifests, tags, referrers, locks, usage and quota, deletion and garbage collection.
//
// Bytes are kept by the CNCF distribution engine over one of its storage drivers, a namespace of its own for each
// registry. What is visible is decided by documents in store.Store: a repository, manifest, tag, blob or upload is there
// when its document is there, and every acknowledged change is one store.Apply whose conditions name all that it was
// decided on, locks included. Bytes are written before their document and removed after it, so a crash in between leaves
// bytes that nobody sees and that Collect removes.
//
// The package leaves to others: who may do what (package registry), when to collect, and which registries there are. A
// registry is named by its key, which belongs to one incarnation of it.
//
// # Order between pushes and removal
//
// Each registry has a gate. Whatever makes something visible or relies on it (commit, mount, HEAD of a blob, manifest)
// passes the gate with others; the removal of something unused has it alone, for one short batch at a time. A push
// notes at the gate what it relies on, and a collection under way spares all that was noted since it began.
package content
