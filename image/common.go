package image

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/alvara-ml/alvara/image/buildcontext"
	"github.com/alvara-ml/alvara/image/pull"
	"github.com/alvara-ml/alvara/resource"
)

// What every builder does in the same way.

// Bounded checks an order, fills its limits in, and has it carried out within its time.
func Bounded(ctx context.Context, order Order, build func(context.Context, Order) (Result, error)) (Result, error) {
	if err := order.Check(); err != nil {
		return Result{}, err
	}
	order.Limits = order.Limits.WithDefaults()
	limited, cancel := context.WithTimeout(ctx, order.Limits.Time)
	defer cancel()
	result, err := build(limited, order)
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return Result{}, resource.Errorf(resource.TooLarge, "BuildTimeout", "The build was not done after %s and was ended; allow it more time (--timeout).", order.Limits.Time)
	}
	return result, err
}

// Unpack fetches an order's source, over a transport where it is a URL, and unpacks it into an empty folder. Faults of the
// source are Invalid, Unsupported or TooLarge; one that cannot be fetched now is Unavailable.
func Unpack(ctx context.Context, transport http.RoundTripper, order Order, folder string) (*buildcontext.Context, error) {
	stream, err := fetch(ctx, transport, order.Source)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	limits := order.Limits
	return buildcontext.Open(ctx, io.LimitReader(stream, limits.ContextBytes), folder, buildcontext.Options{
		Dockerfile: order.Dockerfile, Folder: order.ContextPath, MaxBytes: limits.ContextBytes, MaxEntries: limits.Entries, DockerfileMax: limits.DockerfileMax,
	})
}

func fetch(ctx context.Context, transport http.RoundTripper, source string) (io.ReadCloser, error) {
	if !strings.HasPrefix(source, "https://") {
		if strings.Contains(source, "://") {
			return nil, resource.Invalidf("InvalidBuild", "The source must be an https URL of an archive.").At("source")
		}
		return os.Open(source)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return nil, resource.Invalidf("InvalidBuild", "The source is no URL.").At("source") // a signed URL is not repeated in messages
	}
	// The URL is signed for one place; a redirect would lead elsewhere.
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return nil, resource.Errorf(resource.Unavailable, "SourceUnavailable", "The source cannot be fetched.").Because(err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	_ = response.Body.Close() // nothing was read
	if response.StatusCode >= 500 {
		return nil, resource.Errorf(resource.Unavailable, "SourceUnavailable", "The source cannot be fetched (status %d).", response.StatusCode)
	}
	return nil, resource.Invalidf("SourceNotFound", "The source cannot be fetched (status %d); upload it again.", response.StatusCode).At("source")
}

// Registries are those that an order may speak to, as whom it says.
func (o Order) Registries(transport http.RoundTripper, token func(ctx context.Context, clientID string) (string, error)) *pull.Registries {
	return &pull.Registries{Transport: transport, Credentials: o.credentials(), Own: o.OwnHosts, Trusted: o.TrustedHosts, Token: token}
}

func (o Order) credentials() map[string]pull.Credential {
	all := map[string]pull.Credential{}
	for host, c := range o.Credentials {
		if host == "docker.io" || host == "registry-1.docker.io" {
			host = "index.docker.io" // what references without a host mean
		}
		all[host] = pull.Credential{Identity: c.ClientID, Principal: c.Principal, Username: c.Username, Password: c.Password}
	}
	return all
}
