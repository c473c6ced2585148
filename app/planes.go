package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/dataplane/graph"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/provider/storage"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

const managementAudience = "https://management.azure.com/"

// audiences are the resources that tokens can be for, under the names that the planes verify them with.
func (s *Server) audiences() []identity.Resource {
	own := []string{s.Endpoints.ResourceManager}
	return []identity.Resource{
		{Name: arm.ResourceManager, Identifiers: append([]string{managementAudience, "https://management.core.windows.net/"}, own...)},
		{Name: blob.Audience, Identifiers: []string{"https://storage.azure.com/", s.Endpoints.Blob, s.Endpoints.DFS}, Match: s.isStorageURL},
		{Name: "graph", Identifiers: []string{"https://graph.microsoft.com/", "https://graph.windows.net/", "00000003-0000-0000-c000-000000000000"}},
		{Name: "features", Identifiers: []string{"https://ml.azure.com/", s.Endpoints.Features}, Match: isLearningService},
		{Name: "vault", Identifiers: []string{"https://vault.azure.net/"}},
		{Name: "registry", Identifiers: []string{"https://containerregistry.azure.net/"}},
	}
}

// isLearningService tells whether an audience is the machine-learning service's, as clients name it in a cloud of their own: they put the
// end of the portal's host name in place of "com".
func isLearningService(identifier string) bool {
	return strings.HasPrefix(identifier, "https://ml.azure.")
}

// isStorageURL tells whether an audience is the URL of a storage account.
func (s *Server) isStorageURL(identifier string) bool {
	u, err := url.Parse(identifier)
	if err != nil {
		return false
	}
	host := u.Hostname()
	for _, suffix := range []string{".blob.core.windows.net", ".dfs.core.windows.net", ".blob." + s.config.Domain, ".dfs." + s.config.Domain} {
		if !strings.HasSuffix(suffix, ".") && strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return strings.HasPrefix(identifier, s.Endpoints.Blob+"/") || strings.HasPrefix(identifier, s.Endpoints.DFS+"/")
}

// accountEndpoints gives the URLs of a storage account.
func (s *Server) accountEndpoints(account string) (blobURL, dfsURL string) {
	if s.config.Domain == "" {
		return s.Endpoints.Blob + "/" + account + "/", s.Endpoints.DFS + "/" + account + "/"
	}
	port := func(endpoint string) string {
		u, err := url.Parse(endpoint)
		if err != nil {
			return ""
		}
		return ":" + u.Port()
	}
	return "https://" + account + ".blob." + s.config.Domain + port(s.Endpoints.Blob) + "/", "https://" + account + ".dfs." + s.config.Domain + port(s.Endpoints.DFS) + "/"
}

// blobGuard lets the blob plane ask the guard.
type blobGuard struct{ guard *guard.Guard }

func (g blobGuard) Check(ctx context.Context, a blob.Access) error {
	return g.guard.Check(ctx, guard.Request{
		Who: a.Who, Action: a.Action, Data: a.Data, Scopes: a.Scopes, Plane: "blob", Target: a.Target, RequestID: a.RequestID, Client: a.Client, Attributes: a.Attributes,
	})
}

// recordKey records what an account key let pass, where no role decided.
func (s *Server) recordKey(a blob.Access) {
	scope := resource.Root
	if len(a.Scopes) > 0 {
		scope = a.Scopes[0]
	}
	err := s.audit.Record(context.Background(), audit.Record{
		Time: s.config.Clock(), RequestID: a.RequestID, Plane: "blob", Name: "account key", Action: a.Action, Scope: scope.String(), Target: a.Target, Allowed: true, Client: a.Client,
	})
	if err != nil {
		s.config.Log.Error("the use of an account key could not be recorded", "scope", scope.String(), "error", err)
	}
}

// secret reads a random key that is kept sealed in the store, or makes it.
func (s *Server) secret(ctx context.Context, name string) ([]byte, error) {
	key := "/alvara/secrets/" + name
	doc, err := s.store.Get(ctx, key)
	if err == nil {
		var sealed []byte
		if err := json.Unmarshal(doc.Body, &sealed); err != nil {
			return nil, err
		}
		return s.sealer.Open(sealed, []byte(key))
	}
	if resource.KindOf(err) != resource.NotFound {
		return nil, err
	}
	made := make([]byte, sha256.Size)
	_, _ = rand.Read(made) // never fails
	sealed, err := s.sealer.Seal(made, []byte(key))
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(sealed)
	if err != nil {
		return nil, err
	}
	_, err = s.store.Apply(ctx, store.Put{Key: key, Kind: "alvara/secrets", Body: body, IfMatch: store.None})
	return made, err
}

// mainHandler shares one listener between the token service, the planes with a path of their own and, for all else, the
// resource manager.
func (s *Server) mainHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		switch {
		case path == "/healthz":
			w.WriteHeader(http.StatusOK)
		case strings.EqualFold(strings.TrimLeft(path, "/"), "metadata/endpoints"): // az appends it to the address, with the slash that may be at its end
			s.cloudMetadata(w, r)
		case s.tokens.Handles(path):
			s.tokens.ServeHTTP(w, r)
		case strings.HasPrefix(path, featuresPath+"/"):
			s.features.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/v1.0/"), strings.HasPrefix(path, "/beta/"):
			s.graph.ServeHTTP(w, r)
		default:
			s.manager.ServeHTTP(w, r)
		}
	})
}

// byHost lets a listener of one plane answer for another when the host name says so: with a domain, clients may send
// every name to one port. Those that put a storage account's names together of the cloud's suffix know one port for all of them.
func (s *Server) byHost(handler http.Handler) http.Handler {
	if s.config.Domain == "" {
		return handler
	}
	rest, blobs, files := s.mainHandler(), s.blob.BlobHandler(), s.blob.DFSHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		switch {
		case host == "management."+s.config.Domain || host == "login."+s.config.Domain:
			rest.ServeHTTP(w, r)
		case strings.HasSuffix(host, ".blob."+s.config.Domain):
			blobs.ServeHTTP(w, r)
		case strings.HasSuffix(host, ".dfs."+s.config.Domain):
			files.ServeHTTP(w, r)
		default:
			handler.ServeHTTP(w, r)
		}
	})
}

// cloudMetadata tells clients where everything is. The forms differ by api-version.
func (s *Server) cloudMetadata(w http.ResponseWriter, r *http.Request) {
	e := s.Endpoints
	authentication := map[string]any{"loginEndpoint": e.Authority + "/", "audiences": []string{managementAudience, "https://management.core.windows.net/"}, "tenant": e.Tenant, "identityProvider": "AAD"}
	suffix := e.Domain
	if suffix == "" {
		suffix = "alvara.local"
	}
	registries, accounts := "cr."+suffix, suffix
	if e.Domain != "" {
		_, port, _ := net.SplitHostPort(s.listeners.blob.Addr().String()) // it has one
		accounts += ":" + port
		registries = strings.TrimPrefix(s.loginServer("", 0), ".") // with the port, which belongs to login servers
	}
	cloud := map[string]any{
		"name": "Alvara", "portal": e.ResourceManager, "authentication": authentication, "resourceManager": e.ResourceManager + "/",
		"graph": e.Graph + "/", "graphAudience": "https://graph.microsoft.com/", "microsoftGraphResourceId": e.Graph + "/", // the address that az and Terraform call, in spite of its name
		"gallery": e.ResourceManager, "media": "", "batch": "", "activeDirectoryDataLake": "", "sqlManagement": "", "vmImageAliasDoc": "",
		"suffixes": map[string]any{"storage": accounts, "keyVaultDns": "vault." + suffix, "acrLoginServer": registries},
	}
	var body any = cloud
	switch version := r.URL.Query().Get("api-version"); {
	case version < "2018":
		body = map[string]any{"galleryEndpoint": e.ResourceManager, "graphEndpoint": e.Graph + "/", "portalEndpoint": e.ResourceManager, "authentication": authentication}
	case version < "2022":
		body = []any{cloud}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(body) // the caller has gone away; nobody is left to tell
}

// openPlanes makes the planes and wires them to each other.
func (s *Server) openPlanes(ctx context.Context) error {
	storageDeps := storage.Deps{Sealer: s.sealer, Endpoints: s.accountEndpoints, Reserved: taskAccount, Drop: s.objects.Drop}
	catalog, err := storage.OpenCatalog(s.store, storageDeps, s.config.Clock)
	if err != nil {
		return err
	}
	s.accounts = catalog
	delegation, err := s.secret(ctx, "user-delegation")
	if err != nil {
		return err
	}
	tasks, err := s.secret(ctx, "tasks")
	if err != nil {
		return err
	}
	s.blob = &blob.Server{
		Catalog: taskCatalog{Catalog: catalog, key: tasks}, Guard: blobGuard{s.guard}, Authenticator: s.verify, Objects: s.objects, DelegationKey: delegation,
		Lookup: s.directory.Active, KeyUsed: s.recordKey, Domain: s.config.Domain, Authority: s.Endpoints.Authority + "/" + s.Endpoints.Tenant + "/oauth2/authorize",
		Clock: s.config.Clock, Log: s.config.Log,
	}
	s.graph = &graph.Server{Directory: s.directory, Authenticator: s.verify, Guard: s.guard, Audit: s.audit, Clock: s.config.Clock, Log: s.config.Log}
	s.taskFiles = &taskFiles{key: tasks, endpoint: s.accountEndpoints, handler: s.blob.BlobHandler(), objects: s.objects, clock: s.config.Clock}
	registryDeps, err := s.openRegistries(ctx)
	if err != nil {
		return err
	}
	if err := s.openLauncher(ctx); err != nil {
		return err
	}
	mlDeps, err := s.openFeatureStore(ctx)
	if err != nil {
		return err
	}
	orders, err := s.openServing(ctx, &mlDeps)
	if err != nil {
		return err
	}
	jobs, err := s.openJobs(ctx, &mlDeps)
	if err != nil {
		return err
	}
	s.manager = arm.New(arm.Config{
		Store: s.store, Guard: s.guard, Authenticator: s.verify, Identities: s.directory, Clock: s.config.Clock, Log: s.config.Log, Tenant: s.Endpoints.Tenant, Authority: s.Endpoints.Authority,
	}, s.types(storageDeps, registryDeps, mlDeps), views(storageDeps, mlDeps))
	jobs.Manager, orders.Manager = s.manager, s.manager
	catalog.Remove = s.manager.Remove
	return nil
}
