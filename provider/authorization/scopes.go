package authorization

import (
	"strings"

	"github.com/alvara-ml/alvara/dataplane/registry/content"
	"github.com/alvara-ml/alvara/resource"
)

const repositoryType resource.Type = "Microsoft.ContainerRegistry/registries/repositories"

// placeOfScope gives what must exist for an assignment to sit on a scope. That is the scope itself, but for a repository of
// a registry: the right to push may be given before the first push makes the repository, so its registry must exist.
func placeOfScope(scope resource.ID) (resource.ID, error) {
	if !scope.Type().Is(repositoryType) {
		return scope, nil
	}
	if err := content.CheckRepositoryName(strings.ReplaceAll(scope.Name(), ":", "/")); err != nil {
		return scope, resource.Invalidf("InvalidScope", "The scope '%s' names no repository: %v The scope of a repository is {registry id}/repositories/{name}, with ':' for '/' in the name.", scope, err).At("scope")
	}
	return scope.Parent(), nil
}
