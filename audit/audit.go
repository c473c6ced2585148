// Package audit records every decision, allowed and refused, in an append-only log whose records are chained by hash,
// so that a removed or changed one shows. It owns the log's format and files; who decides calls Record.
package audit

import (
	"context"
	"time"
)

// Record is one decision.
type Record struct {
	Time       time.Time `json:"time"`
	RequestID  string    `json:"requestId,omitempty"`
	Plane      string    `json:"plane"`               // resourceManager, blob, features, graph …
	Principal  string    `json:"principal,omitempty"` // object id; "" when nobody was recognized
	Name       string    `json:"name,omitempty"`      // the principal's name at that time
	Action     string    `json:"action"`              // the operation that was decided
	Scope      string    `json:"scope"`               // the resource that it was decided on
	Target     string    `json:"target,omitempty"`    // the object below the scope, such as a blob's path
	Allowed    bool      `json:"allowed"`
	Assignment string    `json:"assignment,omitempty"` // id of the role assignment that allowed it
	Role       string    `json:"role,omitempty"`       // name of its role
	Reason     string    `json:"reason,omitempty"`     // why it was refused
	Client     string    `json:"client,omitempty"`     // the caller's address
	Job        string    `json:"job,omitempty"`        // the job on whose behalf it was asked
}

// Log takes records. When Record returns nil the record has been handed to the operating system and survives the death
// of the process. It may be called concurrently.
type Log interface {
	Record(ctx context.Context, record Record) error
}
