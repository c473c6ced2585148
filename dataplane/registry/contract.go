package registry

import (
	"context"
	"strings"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// Registry is a registry as the plane needs it.
type Registry struct {
	ID            resource.ID
	Name          string // lower-case
	Key           string // this incarnation; it names the content and is in every token
	LoginServer   string // host[:port] as clients write it; also the audience of tokens and the `service` of challenges
	AdminEnabled  bool
	Quota         int64 // bytes; 0 for none
	RetentionDays int   // untagged manifests that are older are collected; 0 keeps them
}

// Catalog knows the registries, which are resources of the resource manager, and the passwords of their admin users.
// It may be called concurrently, and it checks no rights.
type Catalog interface {
	// Registry finds a registry by name, in any case. An absent one gives NotFound.
	Registry(ctx context.Context, name string) (Registry, error)
	// CheckPassword tells whether a password is one of the two of the registry's admin user, and gives the present
	// generation. Unauthenticated when it is not, or while the admin user is off; NotFound for an absent registry.
	CheckPassword(ctx context.Context, name, password string) (generation string, err error)
	// Generation changes whenever either password is renewed and whenever the admin user is turned on or off. It is ""
	// while the admin user is off. NotFound for an absent registry.
	Generation(ctx context.Context, name string) (string, error)
}

// Authenticator turns an access token for a resource name into a principal. A token that does not hold gives
// Unauthenticated.
type Authenticator interface {
	Authenticate(ctx context.Context, token, resourceName string) (identity.Principal, error)
}

// Audience is the resource name that access tokens for registries are checked against. Tokens for the resource manager
// are taken as well, because that is what the tools have at hand.
const Audience = "registry"

// RepositoryScope is the scope of one repository, such as team/app of the registry. It lies below the registry, so that
// what is granted there reaches it. A slash is written as a colon, which no repository name has.
func RepositoryScope(registry resource.ID, repository string) resource.ID {
	return registry.Child("repositories", strings.ReplaceAll(repository, "/", ":"))
}

// The actions and data actions that the plane asks for. Of a pair either one suffices.
const (
	namespace = "Microsoft.ContainerRegistry/registries/"

	ActionPull   = namespace + "pull/read"
	ActionPush   = namespace + "push/write"
	ActionDelete = namespace + "artifacts/delete"

	ActionMetadataRead  = namespace + "metadata/read"
	ActionMetadataWrite = namespace + "metadata/write"

	DataContentRead   = namespace + "repositories/content/read"
	DataContentWrite  = namespace + "repositories/content/write"
	DataContentDelete = namespace + "repositories/content/delete"
	DataMetadataRead  = namespace + "repositories/metadata/read"
	DataMetadataWrite = namespace + "repositories/metadata/write"
	DataCatalogRead   = namespace + "catalog/read"
)
