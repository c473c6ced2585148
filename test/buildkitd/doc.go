// Package buildkitd is a module of its own, so that what a BuildKit daemon needs is no part of the product: its go.mod names
// the daemon and the runc that tests of image/buildkit build and run.
package buildkitd
