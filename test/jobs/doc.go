// Package jobs tests command jobs as people use them: a whole server, images in its registries, sandboxes, and identities.
package jobs
