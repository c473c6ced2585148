package profile

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Endpoints says where a server's planes are: absolute URLs without a slash at the end, the tenant and subscription that
// its data folder started with, and the CA bundle to trust.
type Endpoints struct {
	ResourceManager string `json:"resourceManager,omitempty"`
	Authority       string `json:"authority,omitempty"`
	Tenant          string `json:"tenant,omitempty"`
	Subscription    string `json:"subscription,omitempty"`
	Blob            string `json:"blob,omitempty"`
	DFS             string `json:"dfs,omitempty"`
	Graph           string `json:"graph,omitempty"`
	Features        string `json:"features,omitempty"`
	Identity        string `json:"identity,omitempty"`
	CAFile          string `json:"caFile,omitempty"`
}

// ReadEndpoints reads DIR/endpoints.json, which a server writes into its data folder.
func ReadEndpoints(dataDir string) (Endpoints, error) {
	path := filepath.Join(dataDir, "endpoints.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Endpoints{}, fmt.Errorf("%s does not exist: no server has run on this folder yet; start one with `alvara serve --data %s`", path, dataDir)
	}
	if err != nil {
		return Endpoints{}, err
	}
	var e Endpoints
	if err := json.Unmarshal(text, &e); err != nil {
		return Endpoints{}, fmt.Errorf("%s: %w", path, err)
	}
	if e.CAFile != "" && !filepath.IsAbs(e.CAFile) {
		if abs, err := filepath.Abs(filepath.Join(dataDir, e.CAFile)); err == nil {
			e.CAFile = abs
		}
	}
	return e.trimmed(), nil
}

// Variable is one environment variable that leads clients to a server.
type Variable struct{ Name, Value string }

// Variables gives the environment for clients of this server, for `alvara env`. What the server does not offer is left out.
func (e Endpoints) Variables() []Variable {
	all := []Variable{
		{"ALVARA_ENDPOINT", e.ResourceManager},
		{"ALVARA_BLOB_ENDPOINT", e.Blob},
		{"ALVARA_DFS_ENDPOINT", e.DFS},
		{"ALVARA_GRAPH_ENDPOINT", e.Graph},
		{"ALVARA_FEATURES_ENDPOINT", e.Features},
		{"AZURE_AUTHORITY_HOST", e.Authority},
		{"AZURE_TENANT_ID", e.Tenant},
		{"AZURE_SUBSCRIPTION_ID", e.Subscription},
		{"SSL_CERT_FILE", e.CAFile},
		{"REQUESTS_CA_BUNDLE", e.CAFile},
		{"NODE_EXTRA_CA_CERTS", e.CAFile},
	}
	var out []Variable
	for _, v := range all {
		if v.Value != "" {
			out = append(out, v)
		}
	}
	return out
}

// Overlay puts what the environment says over e.
func (e Endpoints) Overlay(env func(string) string) Endpoints {
	for _, v := range []struct {
		name string
		at   *string
	}{
		{"ALVARA_ENDPOINT", &e.ResourceManager},
		{"ALVARA_BLOB_ENDPOINT", &e.Blob},
		{"ALVARA_DFS_ENDPOINT", &e.DFS},
		{"ALVARA_GRAPH_ENDPOINT", &e.Graph},
		{"ALVARA_FEATURES_ENDPOINT", &e.Features},
		{"AZURE_AUTHORITY_HOST", &e.Authority},
		{"AZURE_TENANT_ID", &e.Tenant},
		{"AZURE_SUBSCRIPTION_ID", &e.Subscription},
		{"SSL_CERT_FILE", &e.CAFile},
	} {
		if value := env(v.name); value != "" {
			*v.at = value
		}
	}
	return e.trimmed()
}

func (e Endpoints) trimmed() Endpoints {
	for _, at := range []*string{&e.ResourceManager, &e.Authority, &e.Blob, &e.DFS, &e.Graph, &e.Features, &e.Identity} {
		*at = strings.TrimRight(*at, "/")
	}
	return e
}

// Transport makes an HTTPS transport that trusts the system's authorities and the endpoints' CA bundle.
func (e Endpoints) Transport() (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 10 * time.Minute
	if e.CAFile != "" {
		pem, err := os.ReadFile(e.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the CA bundle (SSL_CERT_FILE or the signed-in server's): %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the CA bundle %s holds no certificate", e.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return transport, nil
}
