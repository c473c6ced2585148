package duckdb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/alvara-ml/alvara/featurestore/engine"
	"github.com/alvara-ml/alvara/resource"
)

func faultOf(err error) *fault {
	e, ok := resource.AsError(err)
	if !ok {
		return &fault{Kind: resource.Internal, Code: engine.CodeCompute, Message: err.Error()}
	}
	f := &fault{Kind: e.Kind, Code: e.Code, Message: e.Message, Target: e.Target}
	if e.Cause != nil {
		f.Cause = e.Cause.Error()
	}
	return f
}

func (f *fault) asError() error {
	e := &resource.Error{Kind: f.Kind, Code: f.Code, Message: f.Message, Target: f.Target}
	if f.Cause != "" {
		e.Cause = errors.New(f.Cause)
	}
	return e
}

// limitFault says which limit was reached.
func limitFault(code string, limits engine.Limits) *resource.Error {
	switch code {
	case engine.CodeTime:
		return resource.Invalidf(code, "The computation took longer than its time limit of %s. Narrow the window, simplify it, or raise the limit.", limits.Time)
	case engine.CodeScratch:
		return resource.Invalidf(code, "The computation needs more scratch space than its limit of %s. Narrow the window, simplify it, or raise the limit.", size(limits.Scratch))
	}
	return resource.Invalidf(engine.CodeMemory, "The computation needs more memory than its limit of %s. Narrow the window, simplify it, or raise the limit.", size(limits.Memory))
}

func size(bytes int64) string {
	switch {
	case bytes >= 1<<30 && bytes%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", bytes>>30)
	case bytes >= 1<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

// absolutePath finds paths in a message, which are of no use to a caller: the files are copies on the worker's own disk.
var absolutePath = regexp.MustCompile(`(^|[\s"'(\[])(?:/[\w.@%+=,:~-]+)+/([\w.@%+=,:~-]+)`)

// trimMessage makes of DuckDB's message one that a feature set's author can use.
func trimMessage(message string) string {
	for _, cut := range []string{"\n\nPossible solutions", "\n\nStack Trace", "\n\nSee also", "\n\nLINE "} {
		if at := strings.Index(message, cut); at >= 0 && cut != "\n\nLINE " {
			message = message[:at]
		}
	}
	message = strings.TrimSpace(absolutePath.ReplaceAllString(message, "$1$2"))
	return strings.ReplaceAll(message, "\n\n", "\n")
}

// limited recognizes the faults that any statement can have: a limit reached, an interruption.
func (w *worker) limited(err error) (*resource.Error, bool) {
	var known *resource.Error
	if errors.As(err, &known) {
		return known, true
	}
	message := err.Error()
	var d *duck.Error
	isDuck := errors.As(err, &d)
	switch {
	case w.overfull.Load():
		return limitFault(engine.CodeScratch, w.limits).Because(err), true
	case errors.Is(err, context.DeadlineExceeded) || w.ctx.Err() != nil || (isDuck && d.Type == duck.ErrorTypeInterrupt):
		return limitFault(engine.CodeTime, w.limits).Because(err), true
	case strings.Contains(message, "max_temp_directory_size") || strings.Contains(message, "File too large") ||
		strings.Contains(message, "No space left on device"):
		return limitFault(engine.CodeScratch, w.limits).Because(err), true
	case (isDuck && d.Type == duck.ErrorTypeOutOfMemory) || strings.Contains(message, "Out of Memory") || strings.Contains(message, "bad_alloc") || strings.Contains(message, "bad allocation"):
		return limitFault(engine.CodeMemory, w.limits).Because(err), true
	}
	return nil, false
}

// sqlFault is for statements that hold a feature set's SQL.
func (w *worker) sqlFault(err error) error {
	if limit, ok := w.limited(err); ok {
		return limit
	}
	return resource.Invalidf(engine.CodeSQL, "The transformation's SQL failed: %s", trimMessage(err.Error())).Because(err)
}

// fileFault is for statements that read files.
func (w *worker) fileFault(what, path string, err error) error {
	if limit, ok := w.limited(err); ok {
		return limit
	}
	// The statement is the engine's own and tells its reader nothing.
	message, _, _ := strings.Cut(trimMessage(err.Error()), "\nLINE ")
	message = strings.TrimSpace(message)
	if path == "" {
		return resource.Invalidf(engine.CodeSource, "The %s cannot be read: %s", what, message).Because(err)
	}
	return resource.Invalidf(engine.CodeSource, "The %s %s cannot be read: %s", what, filepath.Base(path), message).At(path).Because(err)
}

// computeFault is for statements of our own: what can go wrong there lies in the data.
func (w *worker) computeFault(what string, err error) error {
	if limit, ok := w.limited(err); ok {
		return limit
	}
	return resource.Invalidf(engine.CodeCompute, "%s failed: %s", what, trimMessage(err.Error())).Because(err)
}
