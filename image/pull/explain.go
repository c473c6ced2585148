package pull

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/alvara-ml/alvara/resource"
)

// doing is what was tried, and the role that allows it.
type doing struct{ verb, role string }

var (
	pulling = doing{"pull", "AcrPull"}
	pushing = doing{"push", "AcrPush"}
)

// explain says of a registry's refusal who was refused what, what the registry said, and what cures it.
func (r *Registries) explain(ctx context.Context, err error, ref name.Reference, what doing) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if known, ok := resource.AsError(err); ok {
		return known
	}
	host := ref.Context().RegistryStr()
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return resource.Errorf(resource.Unavailable, "RegistryUnreachable", "The registry %s cannot be reached to %s %s: %v", host, what.verb, ref.Name(), err).Because(err)
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return resource.Forbiddenf("RegistryDenied", "%s", r.denied(host, ref.Context().RepositoryStr(), what, said(answer))).Because(err)
	case http.StatusNotFound:
		if what == pulling {
			return resource.NotFoundf("ImageNotFound", "The image %s does not exist: %s", ref.Name(), said(answer)).Because(err)
		}
	case http.StatusRequestEntityTooLarge:
		return resource.Errorf(resource.TooLarge, "ImageTooLarge", "The registry %s refuses to take %s: %s", host, ref.Name(), said(answer)).Because(err)
	}
	if answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
		return resource.Errorf(resource.Conflict, "RegistryRefused", "The registry %s refuses to %s %s (status %d): %s", host, what.verb, ref.Name(), answer.StatusCode, said(answer)).Because(err)
	}
	return resource.Errorf(resource.Unavailable, "RegistryUnavailable", "The registry %s fails to %s %s (status %d): %s", host, what.verb, ref.Name(), answer.StatusCode, said(answer)).Because(err)
}

// Denied is the error for a registry that refused to let a repository be pulled, or pushed: whom it refused, what it said,
// and what cures it.
func (r *Registries) Denied(host, repository string, push bool, said string) error {
	what := pulling
	if push {
		what = pushing
	}
	return resource.Forbiddenf("RegistryDenied", "%s", r.denied(host, repository, what, said))
}

func (r *Registries) denied(host, repository string, what doing, said string) string {
	c, known := r.Credentials[host]
	switch {
	case !known && r.Who != "":
		return fmt.Sprintf("The registry %s does not let everybody %s %s, and %s has no credential for it: it needs an identity that has %s there, and tokens of identities go to registries of this server and to trusted ones alone (serve --trust-registry). The registry says: %s", host, what.verb, repository, r.Who, what.role, said)
	case !known:
		return fmt.Sprintf("The registry %s does not let everybody %s %s, and the build has no credential for it. Give the build an identity for the host (--credential HOST=IDENTITY) that has %s there. The registry says: %s", host, what.verb, repository, what.role, said)
	case c.Identity == "":
		return fmt.Sprintf("The registry %s does not let the user %q %s %s. Check the password and the user's rights. The registry says: %s", host, c.Username, what.verb, repository, said)
	}
	if strings.Contains(said, "role assignment create") { // the registry says what cures it
		return fmt.Sprintf("The identity %s lacks %s on the registry %s (repository %s). The registry says: %s", r.who(host), what.role, host, repository, said)
	}
	scope := "<id of the registry>"
	if id, known := r.Scopes[host]; known {
		scope = id.String()
	}
	return fmt.Sprintf("The identity %s lacks %s on the registry %s (repository %s). Grant it: alvara role assignment create --assignee %s --role %s --scope %s. The registry says: %s",
		r.who(host), what.role, host, repository, r.who(host), what.role, scope, said)
}

// said is the registry's own message.
func said(e *transport.Error) string {
	var parts []string
	for _, d := range e.Errors {
		text := d.Message
		if text == "" {
			text = string(d.Code)
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return fmt.Sprintf("status %d", e.StatusCode)
	}
	return strings.Join(parts, "; ")
}
