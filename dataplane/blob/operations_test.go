package blob

import (
	"net/http/httptest"
	"testing"
)

// TestEveryRowHasNeeds: an operation without needs would be open to everybody who signs in. Only those that do nothing
// but refuse may have none.
func TestEveryRowHasNeeds(t *testing.T) {
	for key, op := range operations {
		if len(op.needs) == 0 && op.name != "Batch" {
			t.Errorf("%s (%s) needs nothing", key, op.name)
		}
		if op.run == nil {
			t.Errorf("%s (%s) has no handler", key, op.name)
		}
		for _, n := range op.needs {
			if len(n.actions) == 0 {
				t.Errorf("%s (%s) has a need without actions", key, op.name)
			}
			if n.data != (n.on == onPath || n.on == onPrefix || n.on == onSource) {
				t.Errorf("%s (%s) mixes data and control actions", key, op.name)
			}
		}
	}
	batch := &request{w: httptest.NewRecorder()}
	if err := operations["POST account comp=batch"].run(nil, batch); err == nil {
		t.Error("a batch is taken")
	}
}
