package duckdb

import (
	"encoding/json"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

// The operations of a compute process.
const (
	opTransform = "transform"
	opJoin      = "join"
	opLatest    = "latest"
	opInspect   = "inspect"
	opCheck     = "check"
)

// request is the one line that a compute process reads. Its standard input stays open after it: the end of it means that the
// parent is gone.
type request struct {
	Op     string          `json:"op"`
	Body   json.RawMessage `json:"body"`
	Limits engine.Limits   `json:"limits"` // none is zero
	Reads  []string        `json:"reads"`  // the files that may be read
	Work   string          `json:"work"`   // the folder that may be written: spill/ and out/ in it
}

// response is the one line that it answers.
type response struct {
	Body  json.RawMessage `json:"body,omitempty"`
	Fault *fault          `json:"fault,omitempty"`
	Walls []string        `json:"walls,omitempty"`
}

// fault is an error on its way between the processes.
type fault struct {
	Kind    resource.Kind `json:"kind"`
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Target  string        `json:"target,omitempty"`
	Cause   string        `json:"cause,omitempty"`
}
