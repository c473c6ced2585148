package resource

import (
	"errors"
	"fmt"
)

// Kind classes an error by what the caller can do about it; every wire maps a kind to its own status.
type Kind uint8

// The kinds of error. The zero kind is Internal: an error that nobody classed is never explained to a caller.
const (
	Internal            Kind = iota // a fault of ours; the text goes to the log only
	Invalid                         // the request is malformed or breaks a rule; change it
	Unauthenticated                 // who asks is unknown, or the proof does not hold
	Forbidden                       // known, and not allowed
	NotFound                        // no such thing
	Conflict                        // the present state forbids it: exists already, in use, being changed
	PreconditionFailed              // an If-Match or similar condition does not hold; read again
	TooLarge                        // the body or a part of it is larger than allowed
	TooManyRequests                 // slow down
	Unsupported                     // understood, and not offered here
	RangeNotSatisfiable             // the requested byte range lies outside the object
	NotModified                     // a conditional read found nothing newer
	LengthRequired                  // the request must state its length
	MethodNotAllowed                // the resource exists and does not take this method
	Unavailable                     // cannot be served at the moment; try again
)

// Error is what every layer returns for a fault that the caller should understand. Code is the wire's own word
// (AuthorizationFailed, BlobNotFound, invalid_client …); Message is a sentence that names the field or thing, what was
// expected and what to do. Cause is for the log and never leaves the server.
type Error struct {
	Kind    Kind
	Code    string
	Message string
	Target  string   // the field or parameter at fault, when there is one
	Details []*Error // several faults of one request
	Cause   error
}

func (e *Error) Error() string {
	if e.Code == "" {
		return e.Message
	}
	return e.Code + ": " + e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// At returns a copy that names the field at fault.
func (e *Error) At(target string) *Error {
	copied := *e
	copied.Target = target
	return &copied
}

// Because returns a copy that carries the cause for the log.
func (e *Error) Because(cause error) *Error {
	copied := *e
	copied.Cause = cause
	return &copied
}

// Errorf makes an error of a kind.
func Errorf(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalidf makes an error of kind Invalid.
func Invalidf(code, format string, args ...any) *Error { return Errorf(Invalid, code, format, args...) }

// NotFoundf makes an error of kind NotFound.
func NotFoundf(code, format string, args ...any) *Error {
	return Errorf(NotFound, code, format, args...)
}

// Conflictf makes an error of kind Conflict.
func Conflictf(code, format string, args ...any) *Error {
	return Errorf(Conflict, code, format, args...)
}

// Forbiddenf makes an error of kind Forbidden.
func Forbiddenf(code, format string, args ...any) *Error {
	return Errorf(Forbidden, code, format, args...)
}

// AsError finds an Error in err's chain.
func AsError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}

// KindOf gives err's kind; Internal for errors that nobody classed.
func KindOf(err error) Kind {
	if e, ok := AsError(err); ok {
		return e.Kind
	}
	return Internal
}
