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
	"slices"
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
		{"CURL_CA_BUNDLE", e.CAFile},
	}
	var out []Variable
	for _, v := range all {
		if v.Value != "" {
			out = append(out, v)
		}
	}
	return out
}

// Overlay puts what the environment says over e. SSL_CERT_FILE does not displace e's own CA bundle, because it is often
// set for other servers' sake: Transport trusts both.
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
	} {
		if value := env(v.name); value != "" {
			*v.at = value
		}
	}
	if e.CAFile == "" {
		e.CAFile = env("SSL_CERT_FILE")
	}
	return e.trimmed()
}

func (e Endpoints) trimmed() Endpoints {
	for _, at := range []*string{&e.ResourceManager, &e.Authority, &e.Blob, &e.DFS, &e.Graph, &e.Features, &e.Identity} {
		*at = strings.TrimRight(*at, "/")
	}
	return e
}

// Transport makes an HTTPS transport that trusts the system's authorities, the endpoints' CA bundle and the one that
// SSL_CERT_FILE names.
func (e Endpoints) Transport(env func(string) string) (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 10 * time.Minute
	files := slices.DeleteFunc([]string{e.CAFile, env("SSL_CERT_FILE")}, func(file string) bool { return file == "" })
	if len(files) == 0 {
		return transport, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	var faults []error
	for _, file := range slices.Compact(files) {
		pem, err := os.ReadFile(file)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("reading the CA bundle (SSL_CERT_FILE, or that of the signed-in server): %w", err))
		case !pool.AppendCertsFromPEM(pem):
			faults = append(faults, fmt.Errorf("the CA bundle %s holds no certificate", file))
		}
	}
	if len(faults) == len(slices.Compact(files)) { // one that is readable may be enough
		return nil, errors.Join(faults...)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return transport, nil
}
