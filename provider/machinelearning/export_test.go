package machinelearning

// EnsureRegistry lets the tests be the operation that needs a registry.
var EnsureRegistry = ensureRegistry

// SplitReference takes the reference of an image apart.
var SplitReference = splitReference
