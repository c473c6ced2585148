package cli

// The api-versions that the current Azure SDKs for Go use.
const (
	subscriptionsAPI  = "2022-12-01"
	resourcesAPI      = "2021-04-01"
	authorizationAPI  = "2022-04-01"
	identityAPI       = "2024-11-30"
	storageAPI        = "2024-01-01"
	machineLearnAPI   = "2024-04-01"
	registryAPI       = "2023-07-01"
	registryRunsAPI   = "2019-06-01-preview"
	clusterAPI        = "2024-09-01"
	clusterProvider   = "/providers/Microsoft.ContainerService/managedClusters"
	identityProvider  = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
	storageProvider   = "/providers/Microsoft.Storage/storageAccounts"
	registryProvider  = "/providers/Microsoft.ContainerRegistry/registries"
	workspaceProvider = "/providers/Microsoft.MachineLearningServices/workspaces"
	authorization     = "/providers/Microsoft.Authorization"
)
