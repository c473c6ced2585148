package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/alvara-ml/alvara/resource"
)

// This file holds the rules that every driver applies the same way. Callers of a Store don't need them.

// Check tells whether a condition holds for the document now under key; present tells whether there is one. The error is
// the one that Apply returns.
func Check(key, condition string, current string, present bool) error {
	switch {
	case condition == "" || condition == Any && present || condition == None && !present:
		return nil
	case condition == None:
		return resource.Conflictf("DocumentExists", "%q exists already; read it and change it, or choose another name.", key)
	case !present:
		return resource.Errorf(resource.PreconditionFailed, "ETagMismatch",
			"%q does not exist, and the condition asks for version %q; read it again.", key, condition)
	case condition != current:
		return resource.Errorf(resource.PreconditionFailed, "ETagMismatch",
			"%q has changed since version %q (it is at %q now); read it again and repeat the change.", key, condition, current)
	}
	return nil
}

// Absent is the error for a key without a document.
func Absent(key string) error {
	return resource.NotFoundf("DocumentNotFound", "%q does not exist.", key)
}

// Occupied is the error for a prefix that is not vacant because of the document under key.
func Occupied(prefix, key string) error {
	return resource.Conflictf("DocumentsBelow", "there are documents below %q, such as %q.", prefix, key)
}

// CheckKind refuses to move a document to another kind: a follower of the old kind would never hear that it is gone.
// Deleting and putting it in one Apply does that.
func CheckKind(key, current, wanted string) error {
	if current == wanted {
		return nil
	}
	return fmt.Errorf("store: %q is a document of kind %q and can't become one of kind %q; delete it first", key, current, wanted)
}

// Validate finds ops that no driver can carry out: they are faults of the calling code, hence no resource.Error.
func Validate(ops []Op) error {
	for i, op := range ops {
		if err := validate(op); err != nil {
			return fmt.Errorf("store: op %d: %w", i, err)
		}
	}
	return nil
}

func validate(op Op) error {
	switch op := op.(type) {
	case Put:
		if !text(op.Key) || !text(op.Kind) {
			return fmt.Errorf("put %q of kind %q: key and kind must be UTF-8 text without NUL, and not empty", op.Key, op.Kind)
		}
	case Delete:
		if !text(op.Key) {
			return fmt.Errorf("delete %q: the key must be UTF-8 text without NUL, and not empty", op.Key)
		}
	case Expect:
		if !text(op.Key) || op.IfMatch == "" {
			return fmt.Errorf("expect %q: the key must be UTF-8 text without NUL, and not empty, and a condition must be given", op.Key)
		}
	case Vacant:
		if !text(op.Prefix) {
			return fmt.Errorf("vacant %q: the prefix must be UTF-8 text without NUL, and not empty", op.Prefix)
		}
	case Enqueue:
		if !text(op.Kind) {
			return fmt.Errorf("enqueue %q: the kind must be UTF-8 text without NUL, and not empty", op.Kind)
		}
		if !json.Valid(op.Body) {
			return fmt.Errorf("enqueue %q: the body is not JSON", op.Kind)
		}
		if op.MaxAttempts < 0 {
			return fmt.Errorf("enqueue %q: MaxAttempts is %d, which is less than 0", op.Kind, op.MaxAttempts)
		}
	default:
		return fmt.Errorf("%T is no op that is known", op)
	}
	return nil
}

func text(s string) bool {
	return s != "" && utf8.ValidString(s) && bytes.IndexByte([]byte(s), 0) < 0
}

// Attempts is how often a job is tried.
func (e Enqueue) Attempts() int {
	if e.MaxAttempts == 0 {
		return DefaultMaxAttempts
	}
	return e.MaxAttempts
}

// Stamp is the time as documents carry it: UTC, whole microseconds, which is what every database keeps.
func Stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// RetryDelay is how long a job waits after its attempt-th attempt failed: half a second, doubled each time, at most
// five minutes.
func RetryDelay(attempt int) time.Duration {
	const first, most = 500 * time.Millisecond, 5 * time.Minute
	if attempt > 10 {
		return most
	}
	return min(first<<max(attempt-1, 0), most)
}

// IsFatal tells whether err ends a job without further attempts.
func IsFatal(err error) bool {
	var fatal Fatal
	return errors.As(err, &fatal)
}
