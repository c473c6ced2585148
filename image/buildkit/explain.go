package buildkit

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	"github.com/alvara-ml/alvara/resource"
)

// explain classes what a solve failed with. The daemon has words for it and few codes, so the words are read.
func (s *solve) explain(ctx context.Context, err, token error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := s.log.hide(strings.TrimPrefix(err.Error(), "failed to solve: "))
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
	}
	where := line(err)
	switch code := grpcerrors.Code(err); {
	case token != nil:
		return token
	case has("did not complete successfully: exit code"):
		return resource.Invalidf("BuildFailed", "%s%s", where, sentence(text))
	case has("denied by policy"):
		return resource.Errorf(resource.Unsupported, "NetworkNotAllowed", "%sADD fetches from the network, which builds have not (serve --build-network): %s", where, sentence(text))
	case has("insecure entitlement", "is not allowed", "entitlement"):
		return resource.Errorf(resource.Unsupported, "UnsupportedDockerfile", "%sthe build asks for rights that no build has: %s", where, sentence(text))
	case has("certificate signed by unknown authority", "failed to verify certificate", "HTTP request to an HTTPS server", "request to http://"):
		return resource.Errorf(resource.Conflict, "BuildKitDistrustsRegistry",
			"The BuildKit daemon does not trust the certificate of the registry; its operator names the authority in buildkitd.toml ([registry.\"host:port\"] with ca = [\"…/ca.pem\"] and http = false). The daemon says: %s", sentence(text))
	case has("403 Forbidden", "401 Unauthorized", "insufficient_scope", "authorization failed", "no basic auth credentials", "pull access denied"):
		host, repository := s.mentioned(text)
		return s.registries.Denied(host, repository, pushed(text), sentence(text))
	case code == codes.Unavailable, has("no active session", "closing transport", "error reading from server", "no space left on device"):
		return resource.Errorf(resource.Unavailable, "BuildKitUnavailable", "The BuildKit daemon did not carry the build through: %s", sentence(text)).Because(err)
	case has("dial tcp", "connection refused", "connection reset", "i/o timeout", "502 Bad Gateway", "503 Service Unavailable", "500 Internal Server Error", "429 Too Many Requests"):
		return resource.Errorf(resource.Unavailable, "RegistryUnreachable", "The BuildKit daemon does not reach what the build needs: %s", sentence(text)).Because(err)
	case code == codes.NotFound, has("failed to resolve source metadata") && has("not found"):
		return resource.NotFoundf("ImageNotFound", "%s%s", where, sentence(text))
	}
	return resource.Invalidf("BuildFailed", "%sthe BuildKit daemon says: %s", where, sentence(text))
}

// line names the place in the Dockerfile that an error is of, when the daemon says so.
func line(err error) string {
	for _, source := range errdefs.Sources(err) {
		if len(source.Ranges) > 0 && source.Ranges[0].Start != nil {
			return fmt.Sprintf("Dockerfile line %d: ", source.Ranges[0].Start.Line)
		}
	}
	return ""
}

func sentence(text string) string {
	const most = 1500
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.TrimSuffix(strings.TrimSpace(text), ".") + "."
}

func pushed(text string) bool { return strings.Contains(text, "failed to push") }

var reference = regexp.MustCompile(`[a-zA-Z0-9.-]+(:[0-9]+)?/[a-z0-9][a-zA-Z0-9._/-]*(:[a-zA-Z0-9._-]+)?(@sha256:[0-9a-f]{64})?`)

// mentioned finds the image that an error speaks of: the host and its repository.
func (s *solve) mentioned(text string) (host, repository string) {
	for _, found := range reference.FindAllString(text, -1) {
		ref, err := name.ParseReference(strings.TrimRight(found, ":."))
		if err != nil || strings.Contains(found, "/v2/") {
			continue
		}
		return ref.Context().RegistryStr(), ref.Context().RepositoryStr()
	}
	return "that the build needs", "an image"
}
