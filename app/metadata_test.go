package app_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/app"
	"github.com/alvara-ml/alvara/test/testenv"
)

// BX-08: "az cloud register --endpoint-resource-manager URL" learns all that it needs, whether or not the URL ends in a slash.
func TestCloudMetadata(t *testing.T) {
	for _, c := range []struct{ name, domain, registries string }{
		{"addresses", "", "cr.alvara.local"},
		{"host names", "alvara.test", "cr.alvara.test"}, // with the port of the registries
	} {
		t.Run(c.name, func(t *testing.T) {
			env := testenv.StartIn(t, app.Config{DataDir: testenv.Folder(t), Domain: c.domain})
			env.HTTP.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				_, port, _ := net.SplitHostPort(address) // no name server knows the domain
				return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
			}
			for _, path := range []string{"/metadata/endpoints", "//metadata/endpoints", "/Metadata/Endpoints"} {
				answer, err := env.HTTP.Get(env.Server.URL() + path + "?api-version=2022-09-01")
				if err != nil {
					t.Fatal(err)
				}
				var cloud struct {
					ResourceManager string            `json:"resourceManager"`
					Portal          string            `json:"portal"`
					Graph           string            `json:"microsoftGraphResourceId"`
					Suffixes        map[string]string `json:"suffixes"`
					Authentication  struct {
						LoginEndpoint string   `json:"loginEndpoint"`
						Audiences     []string `json:"audiences"`
					} `json:"authentication"`
				}
				err = json.NewDecoder(answer.Body).Decode(&cloud)
				_ = answer.Body.Close() // all of it was read
				if answer.StatusCode != http.StatusOK || err != nil {
					t.Fatalf("%s: %d %v", path, answer.StatusCode, err)
				}
				e := env.Server.Endpoints
				if cloud.ResourceManager != e.ResourceManager+"/" || cloud.Graph != e.Graph+"/" || cloud.Authentication.LoginEndpoint != e.Authority+"/" || len(cloud.Authentication.Audiences) == 0 {
					t.Errorf("%s: %+v; the addresses %+v were expected", path, cloud, e)
				}
				if got := cloud.Suffixes["acrLoginServer"]; !strings.HasPrefix(got, c.registries) || (c.domain != "" && !strings.Contains(got, ":")) {
					t.Errorf("%s: the suffix of login servers is %q", path, got)
				}
				// What azure-ai-ml makes of the portal's address is the audience of its tokens.
				parts := strings.SplitN(cloud.Portal, ".", 3)
				socket := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(env.Dir, "alvara.sock"))
				}}}
				token, err := socket.Post("http://local/login", "application/json", strings.NewReader(`{"resource": "https://ml.azure.`+parts[2]+`"}`))
				if err != nil {
					t.Fatal(err)
				}
				_ = token.Body.Close() // the status is enough
				if token.StatusCode != http.StatusOK {
					t.Errorf("a token for https://ml.azure.%s: %s", parts[2], token.Status)
				}
				if c.domain == "" {
					continue
				}
				// Blobs and DFS are found by what clients make of the suffix, at one port for both.
				for _, plane := range []string{"blob", "dfs"} {
					answer, err := env.HTTP.Get("https://some." + plane + "." + cloud.Suffixes["storage"] + "/container")
					if err != nil {
						t.Fatal(err)
					}
					_ = answer.Body.Close() // the status is enough
					if answer.Header.Get("x-ms-request-id") == "" || answer.StatusCode == http.StatusOK {
						t.Errorf("%s of the suffix %q: %s", plane, cloud.Suffixes["storage"], answer.Status)
					}
				}
			}
		})
	}
}
