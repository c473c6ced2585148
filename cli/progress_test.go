package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/progress"
)

func TestProgressIsDrawnAndEnds(t *testing.T) {
	var out bytes.Buffer
	b := newBar(&out, "Uploading x", 100, progress.UnitsBytes)
	b.Value(50)
	b.State("half")
	b.Stop()
	b.Stop()
	if !strings.Contains(out.String(), "Uploading x") {
		t.Errorf("drawn: %q", out.String())
	}
}

func TestWithoutATerminalNothingIsDrawn(t *testing.T) {
	program, _, stderr := testProgram(nil)
	call := &Call{Program: program}
	b := call.progressBytes("Uploading x", 100)
	b.Value(50)
	b.State("half")
	b.Stop()
	if stderr.Len() > 0 {
		t.Errorf("drawn: %q", stderr)
	}
}
