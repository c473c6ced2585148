package app

import (
	"slices"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/provider/authorization"
	"github.com/alvara-ml/alvara/provider/containerregistry"
	"github.com/alvara-ml/alvara/provider/containerservice"
	"github.com/alvara-ml/alvara/provider/insights"
	"github.com/alvara-ml/alvara/provider/keyvault"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/provider/managedidentity"
	"github.com/alvara-ml/alvara/provider/operationalinsights"
	"github.com/alvara-ml/alvara/provider/resources"
	"github.com/alvara-ml/alvara/provider/storage"
)

// types is the list of all resource types that the server knows. A new type is one more line.
func (s *Server) types(accounts storage.Deps, registries containerregistry.Deps, ml machinelearning.Deps) []arm.Type {
	all := []arm.Type{
		resources.Groups(),
		authorization.Definitions(),
		authorization.Assignments(),
		managedidentity.Identities(),
		managedidentity.FederatedCredentials(s.directory),
		accounts.Accounts(),
		storage.Services(),
		accounts.Containers(),
		keyvault.Vaults(),
		insights.Components(),
		operationalinsights.Workspaces(),
	}
	clusters := containerservice.Deps{Directory: s.directory}
	return slices.Concat(all, registries.Types(), clusters.Types(), ml.Types())
}

// views is the list of endpoints of the resource manager that are no resource.
func views(accounts storage.Deps, ml machinelearning.Deps) []arm.View {
	var all []arm.View
	for _, some := range [][]arm.View{
		resources.SubscriptionViews(), resources.ListingViews(), resources.ProviderViews(), accounts.NameViews(), containerregistry.NameViews(), arm.OperationViews(), ml.JobViews(),
	} {
		all = append(all, some...)
	}
	return all
}
