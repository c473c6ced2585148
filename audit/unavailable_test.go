package audit_test

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/resource"
)

func TestUnavailable(t *testing.T) {
	for code, cause := range map[string]error{
		"StorageFull":      &fs.PathError{Op: "write", Path: "audit.log", Err: syscall.ENOSPC},
		"AuditUnavailable": errors.New("closed"),
	} {
		if err := audit.Unavailable(cause); err.Kind != resource.Unavailable || err.Code != code || !errors.Is(err, cause) {
			t.Errorf("%v: %v %s", cause, err.Kind, err.Code)
		}
	}
}
