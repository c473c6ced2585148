package azure

import (
	"encoding/xml"
	"errors"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/alvara-ml/alvara/featurestore/lake"
	"github.com/alvara-ml/alvara/resource"
)

// classify gives the service's answer the kind that callers decide by, with the service's own message where it sent one.
func classify(err error, name string, cond lake.Condition) error {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		if errors.Is(err, http.ErrHandlerTimeout) || isNetwork(err) {
			return resource.Errorf(resource.Unavailable, "StorageUnreachable", "the storage service could not be reached for %q: %v", name, err).Because(err)
		}
		return err
	}
	message := serviceMessage(answer)
	kind, fallback := resource.Unavailable, "the storage service failed on %q; try again"
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		kind, fallback = resource.Unauthenticated, "the storage service does not accept the token for %q; sign in again"
	case http.StatusForbidden:
		kind, fallback = resource.Forbidden, "the identity may not access %q; ask for a role with the blob data actions on the container"
	case http.StatusNotFound:
		kind, fallback = resource.NotFound, "there is no object %q in the container, or the container is absent"
	case http.StatusPreconditionFailed:
		kind, fallback = resource.PreconditionFailed, "the object %q was changed meanwhile; read it again"
	case http.StatusConflict:
		kind, fallback = resource.Conflict, "the present state of %q forbids the operation"
		if answer.ErrorCode == "BlobAlreadyExists" && cond.IfNoneMatch {
			kind, fallback = resource.PreconditionFailed, "the object %q is there already"
		}
	case http.StatusRequestedRangeNotSatisfiable:
		kind, fallback = resource.RangeNotSatisfiable, "the object %q ends before the requested range"
	case http.StatusRequestEntityTooLarge:
		kind, fallback = resource.TooLarge, "the content of %q is larger than the service takes"
	case http.StatusTooManyRequests:
		kind, fallback = resource.TooManyRequests, "the storage service asks to slow down on %q"
	case http.StatusBadRequest:
		kind, fallback = resource.Invalid, "the storage service does not understand the request for %q"
	}
	e := resource.Errorf(kind, answer.ErrorCode, fallback, name).Because(err)
	if message != "" {
		e.Message = message
	}
	return e
}

func isNetwork(err error) bool {
	var network interface{ Timeout() bool }
	return errors.As(err, &network)
}

// serviceMessage reads the Message element of a storage error, without the request id lines that follow it.
func serviceMessage(answer *azcore.ResponseError) string {
	if answer.RawResponse == nil {
		return ""
	}
	body, err := runtime.Payload(answer.RawResponse)
	if err != nil || len(body) == 0 {
		return ""
	}
	var document struct {
		Message string `xml:"Message"`
	}
	if xml.Unmarshal([]byte(strings.TrimPrefix(string(body), "\ufeff")), &document) != nil {
		return ""
	}
	text, _, _ := strings.Cut(document.Message, "\nRequestId:")
	return strings.TrimSpace(text)
}
