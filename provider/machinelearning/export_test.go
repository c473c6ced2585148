package machinelearning

// EnsureRegistry lets the tests be the operation that needs a registry.
var EnsureRegistry = ensureRegistry
