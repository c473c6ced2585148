package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/job/local"
	"github.com/alvara-ml/alvara/job/sandbox"
)

// BX-03: the log at the server's start says how jobs are run where that leaves something to be wished for.
func TestBackendIsWarnedOf(t *testing.T) {
	whole := sandbox.Isolation{Namespaces: true, Seccomp: true, Root: true, Overlay: true, Memory: true, PIDs: true, CPUs: true, Version: 2}
	some := sandbox.Isolation{Namespaces: true, Seccomp: true, Lacks: []string{"no cgroups here"}}
	none := sandbox.Isolation{Lacks: []string{"no namespaces here"}}
	for name, c := range map[string]struct {
		backend    string
		can        sandbox.Isolation
		kind, says string
	}{
		"asked for processes":   {local.Process, whole, local.Process, "without walls"},
		"whole":                 {"", whole, local.Sandbox, ""},
		"lacks something":       {"", some, local.Sandbox, "no cgroups here"},
		"asked, lacks":          {local.Sandbox, some, local.Sandbox, "no cgroups here"},
		"no sandboxes":          {"", none, local.Process, "no namespaces here"},
		"asked for, and is not": {local.Sandbox, none, "", ""},
		"unknown":               {"cloud", whole, "", ""},
	} {
		var log bytes.Buffer
		config := &Config{JobBackend: c.backend, Log: slog.New(slog.NewTextHandler(&log, nil))}
		kind, err := config.backendKind(c.can)
		if kind != c.kind || (err != nil) != (c.kind == "") || !strings.Contains(log.String(), c.says) || c.says == "" && log.Len() > 0 {
			t.Errorf("%s: %q, %v, %q", name, kind, err, &log)
		}
	}
}
