package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// exchange is one request as the fake server saw it.
type exchange struct {
	Method, Path string // the path as it was sent, escaped
	Query        url.Values
	Header       http.Header
	Body         []byte
}

// json reads the body as JSON, or as a form.
func (e exchange) json(t *testing.T) any {
	t.Helper()
	if len(e.Body) == 0 {
		return nil
	}
	var v any
	if err := json.Unmarshal(e.Body, &v); err != nil {
		t.Fatalf("%s %s: the body %q is no JSON: %v", e.Method, e.Path, e.Body, err)
	}
	return v
}

func (e exchange) form(t *testing.T) url.Values {
	t.Helper()
	form, err := url.ParseQuery(string(e.Body))
	if err != nil || e.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Fatalf("%s %s: no form: %q, %v", e.Method, e.Path, e.Body, err)
	}
	return form
}

// plant is a fake of every plane on one address: token service, resource manager, registry and the store behind SAS URLs.
type plant struct {
	*httptest.Server
	routes map[string]http.HandlerFunc // "METHOD path"
	env    map[string]string

	mu   sync.Mutex
	seen []exchange
}

const registryID = "/subscriptions/sub1/resourceGroups/rg1/providers/Microsoft.ContainerRegistry/registries/fraudacr"

func newPlant(t *testing.T, routes map[string]http.HandlerFunc) *plant {
	t.Helper()
	p := &plant{routes: map[string]http.HandlerFunc{}}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		if !strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
			p.mu.Lock()
			p.seen = append(p.seen, exchange{r.Method, r.URL.EscapedPath(), r.URL.Query(), r.Header.Clone(), body})
			p.mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if handler := p.routes[r.Method+" "+r.URL.Path]; handler != nil {
			handler(w, r)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"error":{"code":"ResourceNotFound","message":"nothing at %s"}}`, r.URL.Path)
	}))
	t.Cleanup(p.Close)
	host := strings.TrimPrefix(p.URL, "https://")
	maps.Copy(p.routes, map[string]http.HandlerFunc{
		"POST /tenant1/oauth2/v2.0/token": func(w http.ResponseWriter, r *http.Request) {
			scope := strings.TrimSuffix(r.FormValue("scope"), "/.default")
			fmt.Fprintf(w, `{"access_token":"entra for %s","expires_in":3600}`, scope)
		},
		"GET /subscriptions/sub1/resources": says(200, fmt.Sprintf(`{"value":[{"id":%q,"name":"other","type":"Microsoft.Storage/storageAccounts"},{"id":%q,"name":"FraudACR","type":"Microsoft.ContainerRegistry/registries"}]}`, "/x", registryID)),
		"GET " + registryID:                 says(200, registryJSON(host)),
	})
	maps.Copy(p.routes, routes)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = map[string]string{
		"ALVARA_ENDPOINT": p.URL, "AZURE_AUTHORITY_HOST": p.URL, "AZURE_TENANT_ID": "tenant1", "AZURE_SUBSCRIPTION_ID": "sub1",
		"AZURE_CLIENT_ID": "app1", "AZURE_CLIENT_SECRET": "secret1", "SSL_CERT_FILE": ca, "ALVARA_CONFIG_DIR": dir, "HOME": dir, "DOCKER_CONFIG": filepath.Join(dir, "docker"),
	}
	return p
}

func registryJSON(host string) string {
	return fmt.Sprintf(`{"id":%q,"name":"fraudacr","location":"westeurope","sku":{"name":"Standard","tier":"Standard"},
		"identity":{"type":"SystemAssigned, UserAssigned","principalId":"p1","userAssignedIdentities":{"/subscriptions/sub1/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Builder":{"clientId":"c1"}}},
		"properties":{"loginServer":%q,"adminUserEnabled":false,"creationDate":"2025-01-01T00:00:00Z","provisioningState":"Succeeded"}}`, registryID, host)
}

func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], strings.ReplaceAll(header[i+1], "HOST", r.Host))
		}
		w.WriteHeader(status)
		fmt.Fprint(w, strings.ReplaceAll(body, "HOST", r.Host))
	}
}

// host is the login server of the registry.
func (p *plant) host() string { return strings.TrimPrefix(p.URL, "https://") }

// run runs one command line, in which HOST is the login server.
func (p *plant) run(ctx context.Context, line string) (code int, stdout, stderr string) {
	program, out, faults := testProgram(p.env)
	args := strings.Fields(strings.ReplaceAll(line, "HOST", p.host()))
	code = program.Run(ctx, args)
	return code, out.String(), faults.String()
}

// ok runs a command line that must succeed, and gives its output.
func (p *plant) ok(t *testing.T, line string) string {
	t.Helper()
	code, stdout, stderr := p.run(t.Context(), line)
	if code != ExitOK {
		t.Fatalf("%s: exit code %d\n%s", line, code, stderr)
	}
	return stdout
}

// sent gives the requests "METHOD path" that came since the last call.
func (p *plant) sent() []exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

func lines(seen []exchange) []string {
	var out []string
	for _, e := range seen {
		out = append(out, e.Method+" "+e.Path)
	}
	return out
}

// What each command on the resource sends, and that it sends nothing else (MI-02).
func TestRegistryCommandsOnTheWire(t *testing.T) {
	const find = "GET /subscriptions/sub1/resources"
	const builder = "/subscriptions/sub1/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Builder"
	p := newPlant(t, map[string]http.HandlerFunc{
		"GET /subscriptions/sub1/resourceGroups/rg1":   says(200, `{"location":"northeurope"}`),
		"PUT " + registryID:                            func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, registryJSON(r.Host)) },
		"PATCH " + registryID:                          func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, registryJSON(r.Host)) },
		"DELETE " + registryID:                         says(204, ""),
		"POST " + registryID + "/listCredentials":      says(200, `{"username":"fraudacr","passwords":[{"name":"password","value":"a"},{"name":"password2","value":"b"}]}`),
		"POST " + registryID + "/regenerateCredential": says(200, `{"username":"fraudacr","passwords":[{"name":"password","value":"a"},{"name":"password2","value":"c"}]}`),
		"GET " + registryID + "/listUsages":            says(200, `{"value":[{"name":"Size","limit":100,"currentValue":7,"unit":"Bytes"}]}`),
		"POST /subscriptions/sub1/providers/Microsoft.ContainerRegistry/checkNameAvailability": says(200, `{"nameAvailable":false,"reason":"AlreadyExists","message":"taken"}`),
		"GET /subscriptions/sub1/providers/Microsoft.ContainerRegistry/registries":             says(200, `{"value":[{"id":"`+registryID+`","name":"fraudacr","properties":{"loginServer":"HOST"}}]}`),
	})
	for _, c := range []struct {
		line     string
		requests []string
		body     string // of the last request
		stdout   string // a part of it
	}{
		{"acr create -n fraudacr -g rg1", []string{"GET /subscriptions/sub1/resourceGroups/rg1", "PUT " + registryID},
			`{"location":"northeurope","sku":{"name":"Standard"},"properties":{}}`, `"adminUserEnabled": false`},
		{"acr create -n fraudacr -g rg1 -l west --sku BASIC --admin-enabled true --identity [system] builder --tags a=b", []string{"PUT " + registryID},
			`{"location":"west","sku":{"name":"Basic"},"properties":{"adminUserEnabled":true},"tags":{"a":"b"},"identity":{"type":"SystemAssigned, UserAssigned","userAssignedIdentities":{"/subscriptions/sub1/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder":{}}}}`, `"loginServer": "HOST"`},
		{"acr show -n FRAUDACR -o table", []string{find, "GET " + registryID}, "", "fraudacr  rg1"},
		{"acr show -n fraudacr -g rg1 --query loginServer -o tsv", []string{"GET " + registryID}, "", "HOST\n"},
		{"acr list --query [].resourceGroup -o tsv", []string{"GET /subscriptions/sub1/providers/Microsoft.ContainerRegistry/registries"}, "", "rg1\n"},
		{"acr update -n fraudacr --admin-enabled false", []string{find, "PATCH " + registryID}, `{"properties":{"adminUserEnabled":false}}`, "fraudacr"},
		{"acr update -r fraudacr -g rg1 --admin-enabled --sku premium --tags=", []string{"PATCH " + registryID},
			`{"properties":{"adminUserEnabled":true},"sku":{"name":"Premium"},"tags":{}}`, "fraudacr"},
		{"acr delete -n fraudacr --yes", []string{find, "DELETE " + registryID}, "", ""},
		{"acr check-name -n fraudacr --query reason -o tsv", []string{"POST /subscriptions/sub1/providers/Microsoft.ContainerRegistry/checkNameAvailability"},
			`{"name":"fraudacr","type":"Microsoft.ContainerRegistry/registries"}`, "AlreadyExists\n"},
		{"acr show-usage -n fraudacr -g rg1 -o table", []string{"GET " + registryID + "/listUsages"}, "", "Size  100    7"},
		{"acr credential show -n fraudacr -g rg1 -o table", []string{"POST " + registryID + "/listCredentials"}, "", "fraudacr  a         b"},
		{"acr credential renew -n fraudacr -g rg1 --password-name password2 --query passwords[1].value -o tsv",
			[]string{"POST " + registryID + "/regenerateCredential"}, `{"name":"password2"}`, "c\n"},
		{"acr identity show -n fraudacr -g rg1 --query principalId -o tsv", []string{"GET " + registryID}, "", "p1\n"},
		{"acr identity assign -n fraudacr --identities other", []string{find, "GET " + registryID, "PATCH " + registryID},
			`{"identity":{"type":"SystemAssigned, UserAssigned","userAssignedIdentities":{"/subscriptions/sub1/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/other":{}}}}`, ""},
		{"acr identity remove -n fraudacr -g rg1 --identities builder", []string{"GET " + registryID, "PATCH " + registryID},
			`{"identity":{"type":"SystemAssigned","userAssignedIdentities":{"` + builder + `":null}}}`, ""},
		{"acr identity remove -n fraudacr -g rg1 --identities [system]", []string{"GET " + registryID, "PATCH " + registryID},
			`{"identity":{"type":"UserAssigned"}}`, ""},
		{"acr identity remove -n fraudacr -g rg1 --identities [all]", []string{"GET " + registryID, "PATCH " + registryID},
			`{"identity":{"type":"None","userAssignedIdentities":{"` + builder + `":null}}}`, ""},
	} {
		t.Run(c.line, func(t *testing.T) {
			stdout := p.ok(t, c.line)
			seen := p.sent()
			if got := lines(seen); !reflect.DeepEqual(got, c.requests) {
				t.Fatalf("sent %q, want %q", got, c.requests)
			}
			last := seen[len(seen)-1]
			if got := last.Query.Get("api-version"); got != registryAPI {
				t.Errorf("api-version %q", got)
			}
			if got := last.Header.Get("Authorization"); got != "Bearer entra for https://management.azure.com" {
				t.Errorf("authorized by %q", got)
			}
			var want any
			if c.body != "" {
				if err := json.Unmarshal([]byte(c.body), &want); err != nil {
					t.Fatal(err)
				}
			}
			if got := last.json(t); !reflect.DeepEqual(got, want) {
				t.Errorf("the body is %s, want %s", last.Body, c.body)
			}
			if want := strings.ReplaceAll(c.stdout, "HOST", p.host()); !strings.Contains(stdout, want) {
				t.Errorf("printed\n%s\nwithout %q", stdout, want)
			}
		})
	}
	p.ok(t, "acr show -n fraudacr")
	if got := p.sent()[0].Query.Get("$filter"); got != "resourceType eq 'Microsoft.ContainerRegistry/registries'" {
		t.Errorf("looked for by %q", got)
	}
}

func TestRegistryCommandsThatAreRefused(t *testing.T) {
	p := newPlant(t, map[string]http.HandlerFunc{
		"POST " + registryID + "/listCredentials": says(400, `{"error":{"code":"UnAuthorizedForCredentialOperations","message":"Cannot perform credential operations as admin user is disabled."}}`),
	})
	for _, c := range []struct {
		line   string
		code   int
		stderr string
	}{
		{"acr show -n nosuch", ExitNotFound, "there is no registry nosuch among the resources that you may see"},
		{"acr show -n nosuch", ExitNotFound, "takes the role Reader on it"},
		{"acr build -r nosuch " + folder(t, sources), ExitNotFound, "Container Registry Tasks Contributor"},
		{"acr update -n fraudacr --sku huge", ExitUsage, "give Basic, Standard or Premium"},
		{"acr show -n fraudacr -g rg2", ExitNotFound, "ResourceNotFound"},
		{"acr show -n a/b -g rg1", ExitUsage, "is not the name of a registry"},
		{"acr update -n fraudacr", ExitUsage, "say what to change"},
		{"acr update -n fraudacr --admin-enabled maybe", ExitUsage, "maybe"},
		{"acr create -n fraudacr -g rg1 --sku Huge", ExitUsage, "--sku"},
		{"acr create -n fraudacr -g rg1 --identity [user]", ExitUsage, "is no identity"},
		{"acr delete -n fraudacr", ExitUsage, "say --yes"},
		{"acr credential show -n fraudacr", ExitError, "(UnAuthorizedForCredentialOperations) Cannot perform"},
		{"acr credential renew -n fraudacr --password-name third", ExitUsage, "--password-name"},
		{"acr identity remove -n fraudacr --identities nosuch", ExitNotFound, "does not have the identity"},
	} {
		code, stdout, stderr := p.run(t.Context(), c.line)
		if code != c.code || !strings.Contains(stderr, c.stderr) || stdout != "" {
			t.Errorf("%s: exit code %d (want %d)\n%s%s", c.line, code, c.code, stdout, stderr)
		}
	}
}
