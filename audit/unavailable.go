package audit

import (
	"errors"
	"syscall"

	"github.com/alvara-ml/alvara/resource"
)

// Unavailable is the error of a request that was not carried out because the log did not take its record: of kind Unavailable,
// with the code StorageFull when the disk is full, and otherwise AuditUnavailable.
func Unavailable(err error) *resource.Error {
	if errors.Is(err, syscall.ENOSPC) {
		return resource.Errorf(resource.Unavailable, "StorageFull", "the disk that holds the audit log is full, and nothing is allowed without a record; have the server's operator free space").Because(err)
	}
	return resource.Errorf(resource.Unavailable, "AuditUnavailable", "the audit log does not take records, and nothing is allowed without one; the server's log has the reason").Because(err)
}
