// Package cli is the command line of Alvara, shaped like az: `alvara GROUP … VERB --flags`. Each command group has a file
// of its own; a command is a struct whose fields are its flags and whose Run method does the work. The package owns
// parsing, sign-in state (package profile), output (package output) and the wire as a client sees it (package wire).
//
// It runs no server and computes no feature itself: what starts a server, a quickstart, a benchmark or a retrieval is a
// function in Program, put there by main.
//
// Exit codes: 0 success, 1 refused or failed, 2 the command line is wrong, 3 the thing asked for does not exist.
package cli
