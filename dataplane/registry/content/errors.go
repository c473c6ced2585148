package content

import (
	"errors"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"golang.org/x/sys/unix"

	"github.com/alvara-ml/alvara/resource"
)

// Codes of this package that OCI has no word for.
const (
	CodeQuotaExceeded       = "QUOTA_EXCEEDED"       // Forbidden: the registry holds as much as it may
	CodeInsufficientStorage = "INSUFFICIENT_STORAGE" // Unavailable: the medium is full
)

func unknownRepository(name string) error {
	return resource.NotFoundf("NAME_UNKNOWN", "the repository %q does not exist in this registry.", name)
}

func unknownBlob(repo, digest string) error {
	return resource.NotFoundf("BLOB_UNKNOWN", "the repository %q has no blob %s.", repo, digest)
}

func unknownUpload(id string) error {
	return resource.NotFoundf("BLOB_UPLOAD_UNKNOWN", "there is no upload %q; it was completed, cancelled or has expired. Begin a new one.", id)
}

func unknownManifest(repo, reference string) error {
	return resource.NotFoundf("MANIFEST_UNKNOWN", "the repository %q has no manifest %q.", repo, reference)
}

func locked(what, name, attribute string) error {
	return resource.Errorf(resource.MethodNotAllowed, "DENIED",
		"the %s %q is locked: its %s is false; set it to true to allow the operation.", what, name, attribute)
}

func overQuota(quota int64) error {
	return resource.Forbiddenf(CodeQuotaExceeded,
		"the registry may hold %d bytes, uploads under way among them, and this push would exceed that; delete what is not needed or raise the quota.", quota)
}

// classed gives errors of the medium a kind of their own and leaves all others alone.
func classed(err error) error {
	cause := err
	var driver storagedriver.Error
	if errors.As(err, &driver) { // which hides its cause from errors.Is
		cause = driver.Detail
	}
	if errors.Is(cause, unix.ENOSPC) || errors.Is(cause, unix.EDQUOT) {
		return resource.Errorf(resource.Unavailable, CodeInsufficientStorage,
			"the server's storage is full; nothing of this push was kept. Free some space and push again.").Because(err)
	}
	return err
}

// raced tells whether a change lost against another one: what it was decided on is no longer so.
func raced(err error) bool {
	e, ok := resource.AsError(err)
	return ok && (e.Code == "ETagMismatch" || e.Code == "DocumentExists" || e.Code == "DocumentNotFound" || e.Code == "DocumentsBelow")
}

func absent(err error) bool {
	e, ok := resource.AsError(err)
	return ok && e.Code == "DocumentNotFound"
}
