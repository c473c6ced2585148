// Package buildkit has a BuildKit daemon carry out image orders, with the whole Dockerfile language. It owns what the daemon
// is told and shown: the order as a request to the daemon's own Dockerfile frontend, the context as files, the secrets, and
// tokens of registries. The daemon is the operator's; it is trusted with what builds may read and nothing more. It gets
// short-lived tokens of single registries, made in this process for what it names, and no identity's own token. What is
// in the daemon's own configuration (how RUN is walled in, which authorities certificates may come from, how long its
// cache lives) is the operator's affair; docs/buildkit.md tells it.
package buildkit
