package wire

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
)

// Operation follows a long-running operation from the answer that started it. Watch, when set, hears of each state
// that was seen ("Running", "Succeeded", …).
type Operation struct {
	Client *Client
	Watch  func(state string)
}

// Finish waits until the operation that started with this request has ended, and gives its result: for PUT and PATCH
// the resource, for POST the body of the final answer, for DELETE nil. It understands Azure-AsyncOperation, Location
// and a resource whose provisioningState is still on its way; an answer that is none of them is the result.
// A failed or cancelled operation is an *Error.
func (o *Operation) Finish(ctx context.Context, request Request, first *Response) (*document.Object, error) {
	async := first.Header.Get("Azure-AsyncOperation")
	location := first.Header.Get("Location")
	switch {
	case async != "":
		return o.followAsync(ctx, request, first, async, location)
	case first.Status == http.StatusAccepted && location != "":
		return o.followLocation(ctx, request, first, location)
	}
	object, err := first.Object()
	if err != nil {
		return nil, err
	}
	if request.Method != http.MethodPut && request.Method != http.MethodPatch {
		return object, nil // such as what was deleted, whose own making may have failed
	}
	if !terminal(object.Text("properties", "provisioningState")) {
		return o.followResource(ctx, request, first)
	}
	if failed := provisioningError(object); failed != nil {
		return nil, failed
	}
	return object, nil
}

func (o *Operation) followAsync(ctx context.Context, request Request, first *Response, async, location string) (*document.Object, error) {
	last := first
	for step := 0; ; step++ {
		if err := o.Client.Pause(ctx, retryAfter(last.Header, Backoff(step))); err != nil {
			return nil, err
		}
		response, err := o.get(ctx, request, first.URL, async)
		if err != nil {
			return nil, err
		}
		status, err := response.Object()
		if err != nil {
			return nil, err
		}
		state := status.Text("status")
		o.saw(state, status)
		last = response
		if !terminal(state) {
			continue
		}
		if !strings.EqualFold(state, "Succeeded") {
			return nil, operationError(state, status)
		}
		switch request.Method {
		case http.MethodPut, http.MethodPatch:
			response, err := o.get(ctx, request, first.URL, first.URL)
			if err != nil {
				return nil, err
			}
			return response.Object()
		case http.MethodPost:
			if location != "" {
				return o.followLocation(ctx, request, last, location)
			}
			if properties := status.Object("properties"); properties != nil {
				return properties, nil
			}
			return first.Object()
		}
		return nil, nil
	}
}

func (o *Operation) followLocation(ctx context.Context, request Request, first *Response, location string) (*document.Object, error) {
	last := first
	for step := 0; ; step++ {
		if step > 0 || first.Status == http.StatusAccepted {
			if err := o.Client.Pause(ctx, retryAfter(last.Header, Backoff(step))); err != nil {
				return nil, err
			}
		}
		response, err := o.get(ctx, request, first.URL, location)
		var refused *Error
		if errors.As(err, &refused) && refused.NotFound() && request.Method == http.MethodDelete {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if response.Status != http.StatusAccepted {
			return response.Object()
		}
		o.saw("Running", nil)
		if next := response.Header.Get("Location"); next != "" {
			location = next
		}
		last = response
	}
}

func (o *Operation) followResource(ctx context.Context, request Request, first *Response) (*document.Object, error) {
	last := first
	for step := 0; ; step++ {
		if err := o.Client.Pause(ctx, retryAfter(last.Header, Backoff(step))); err != nil {
			return nil, err
		}
		response, err := o.get(ctx, request, first.URL, first.URL)
		if err != nil {
			return nil, err
		}
		object, err := response.Object()
		if err != nil {
			return nil, err
		}
		state := object.Text("properties", "provisioningState")
		o.saw(state, nil)
		last = response
		if terminal(state) {
			if failed := provisioningError(object); failed != nil {
				return nil, failed
			}
			return object, nil
		}
	}
}

func (o *Operation) get(ctx context.Context, request Request, from, to string) (*Response, error) {
	base, err := url.Parse(from)
	if err != nil {
		return nil, err
	}
	target, err := base.Parse(to)
	if err != nil {
		return nil, err
	}
	if err := sameOrigin(from, target.String()); err != nil {
		return nil, err
	}
	return o.Client.Do(ctx, Request{Method: http.MethodGet, URL: target.String(), Resource: request.Resource})
}

func (o *Operation) saw(state string, status *document.Object) {
	if o.Watch == nil {
		return
	}
	if percent := status.Text("percentComplete"); percent != "" {
		state += " " + percent + "%"
	}
	o.Watch(state)
}

func terminal(state string) bool {
	switch strings.ToLower(state) {
	case "", "succeeded", "failed", "canceled", "cancelled", "completed":
		return true
	}
	return false
}

func operationError(state string, status *document.Object) *Error {
	if inner := status.Object("error"); inner != nil {
		return FromDocument(inner)
	}
	if inner := status.Object("properties", "error"); inner != nil {
		return FromDocument(inner)
	}
	return &Error{Code: "Operation" + state, Message: "the operation ended as " + state + " and the server gave no reason"}
}

func provisioningError(object *document.Object) *Error {
	state := object.Text("properties", "provisioningState")
	if strings.EqualFold(state, "Failed") || strings.EqualFold(state, "Canceled") {
		return operationError(state, object)
	}
	return nil
}

// Backoff grows from quick looks, for a server on the same machine, to one look every two seconds.
func Backoff(step int) time.Duration {
	return min(50*time.Millisecond<<min(step, 10), 2*time.Second)
}

// retryAfter is the time that the server asks for; 0 means "as you like", which is Backoff.
func retryAfter(header http.Header, otherwise time.Duration) time.Duration {
	if ms, err := strconv.Atoi(header.Get("retry-after-ms")); err == nil && ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	if s, err := strconv.Atoi(header.Get("Retry-After")); err == nil && s > 0 {
		return min(time.Duration(s)*time.Second, time.Minute)
	}
	return otherwise
}
