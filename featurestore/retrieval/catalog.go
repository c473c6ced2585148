package retrieval

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/alvara-ml/alvara/featurestore/materialize"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// ManagementAudience is what tokens for the resource manager are for.
const ManagementAudience = "https://management.azure.com/"

const apiVersion = "2024-04-01"

// set is a feature set version that a request names.
type set struct {
	name, version string
	local         bool
	id            resource.ID // of the version; the root for a local one
	spec          *spec.FeatureSetSpec
	offline       bool   // offline materialization is enabled
	path          string // of the offline table

	computed bool
	files    []string // parquet files that hold the rows
	from     string
}

func (s *set) label() string { return s.name + ":" + s.version }

// find gets a set: from the request when it is local, from the resource manager otherwise.
func (j *join) find(ctx context.Context, ref spec.FeatureRef) (*set, error) {
	key := strings.ToLower(ref.Set + ":" + ref.Version)
	if known := j.sets[key]; known != nil {
		return known, nil
	}
	s := &set{name: ref.Set, version: ref.Version}
	var err error
	if local, ok := j.request.Local[ref.Set+":"+ref.Version]; ok {
		s.local = true
		s.spec, err = spec.Parse(local.Files)
	} else {
		err = j.registered(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	j.sets[key] = s
	return s, nil
}

func (j *join) registered(ctx context.Context, s *set) error {
	if j.request.Store.IsRoot() {
		return resource.Invalidf("NoFeatureStore", "The feature set %s is not among the local ones, and the request names no feature store to look it up in.", s.label()).At("features")
	}
	s.id = j.request.Store.Child("featuresets", s.name).Child("versions", s.version)
	var answer struct {
		Properties struct {
			Specification struct {
				Content map[string]string `json:"content"`
			} `json:"specification"`
			OfflinePath             string `json:"offlinePath"`
			MaterializationSettings struct {
				StoreType string `json:"storeType"`
			} `json:"materializationSettings"`
		} `json:"properties"`
	}
	if err := j.r.get(ctx, s.id, &answer); err != nil {
		return err
	}
	files := make(map[string][]byte, len(answer.Properties.Specification.Content))
	for name, text := range answer.Properties.Specification.Content {
		files[name] = []byte(text)
	}
	parsed, err := spec.Parse(files)
	if err != nil {
		return err
	}
	s.spec = parsed
	s.path = materialize.OfflinePrefix(s.id)
	if path := answer.Properties.OfflinePath; strings.HasPrefix(path, s.path) {
		s.path = path
	}
	switch answer.Properties.MaterializationSettings.StoreType {
	case "Offline", "OnlineAndOffline":
		s.offline = true
	}
	return nil
}

// source is where a set's source lies.
func (j *join) source(ctx context.Context, s *set) (account, container string, err error) {
	src := s.spec.Source
	if src.Datastore == "" {
		return src.Account, src.Container, nil
	}
	workspace := src.Workspace
	if workspace.IsRoot() {
		workspace = j.request.Store
	}
	if workspace.IsRoot() {
		return "", "", resource.Invalidf("NoFeatureStore", "The source %s of %s names a datastore, and the request names no feature store to look it up in.", src.URI, s.label())
	}
	var answer struct {
		Properties struct {
			AccountName   string `json:"accountName"`
			ContainerName string `json:"containerName"`
			Filesystem    string `json:"filesystem"`
		} `json:"properties"`
	}
	if err := j.r.get(ctx, workspace.Child("datastores", src.Datastore), &answer); err != nil {
		return "", "", err
	}
	container = answer.Properties.ContainerName
	if container == "" {
		container = answer.Properties.Filesystem
	}
	return answer.Properties.AccountName, container, nil
}

// offlineStore is the container of the store's offline tables. It is asked for once.
func (j *join) offlineStore(ctx context.Context) (account, container string, err error) {
	if j.offline.IsRoot() {
		var answer struct {
			Properties struct {
				OfflineStore struct {
					Target string `json:"target"`
				} `json:"offlineStore"`
			} `json:"properties"`
		}
		if err := j.r.get(ctx, j.request.Store, &answer); err != nil {
			return "", "", err
		}
		if answer.Properties.OfflineStore.Target == "" {
			return "", "", resource.Conflictf("NoOfflineStore", "The feature store %s has no offline store.", j.request.Store.Name())
		}
		if j.offline, err = resource.ParseID(answer.Properties.OfflineStore.Target); err != nil {
			return "", "", err
		}
	}
	// …/storageAccounts/{account}/blobServices/default/containers/{container}
	return j.offline.Parent().Parent().Name(), j.offline.Name(), nil
}

// get reads a resource with the caller's token.
func (r *Retriever) get(ctx context.Context, id resource.ID, into any) error {
	url := strings.TrimSuffix(r.ResourceManager, "/") + id.String() + "?api-version=" + apiVersion
	return r.call(ctx, http.MethodGet, url, ManagementAudience, nil, into)
}

// GetOnline reads the newest rows of the online store: keys are the values of each index column, paired by position. Each
// row is an object of the keys and the features, in the order asked.
func (r *Retriever) GetOnline(ctx context.Context, store resource.ID, features []string, keys map[string][]string) ([]json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"features": features, "keys": keys})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Rows []json.RawMessage `json:"rows"`
	}
	err = r.call(ctx, http.MethodPost, strings.TrimSuffix(r.Features, "/")+store.String()+"/online", materialize.Audience, body, &answer)
	return answer.Rows, err
}

func (r *Retriever) call(ctx context.Context, method, url, audience string, body []byte, into any) error {
	token, err := r.Credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{audience + ".default"}})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token.Token)
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	client := r.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return resource.Errorf(resource.Unavailable, "ServerUnreachable", "The server at %s could not be reached: %v", request.URL.Host, err).Because(err)
	}
	defer func() { _ = response.Body.Close() }() // only read
	if response.StatusCode != http.StatusOK {
		return materialize.ReadError(response)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<20)).Decode(into); err != nil {
		return fmt.Errorf("read the answer of %s: %w", request.URL.Host, err)
	}
	return nil
}
