package cli

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// Each way to say who calls sends what the endpoint takes, and the deployment's name goes along.
func TestCallsOfEndpoints(t *testing.T) {
	endpoint := fakeWorkspace + "/onlineEndpoints/fraud"
	mode := ""
	p := newPlant(t, map[string]http.HandlerFunc{
		"GET " + endpoint: func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"id":%q,"name":"fraud","properties":{"authMode":%q,"scoringUri":"https://%s/endpoints/fraud/score"}}`, endpoint, mode, r.Host)
		},
		"POST " + endpoint + "/listKeys": says(200, `{"primaryKey":"key1","secondaryKey":"key2"}`),
		"POST " + endpoint + "/token":    says(200, `{"accessToken":"token1","tokenType":"Bearer","expiryTimeUtc":5}`),
		"POST /endpoints/fraud/score": func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, `{"who":%q,"where":%q,"type":%q,"body":%q}`, r.Header.Get("Authorization"), r.Header.Get(deploymentHeader), r.Header.Get("Content-Type"), body)
		},
	})
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"a.json": `{"x":1}`, "a.csv": "x\n1\n", "a": "raw"})
	for _, c := range []struct{ mode, line, want string }{
		{"AADToken", "-r a.json", "Bearer entra for https://ml.azure.com||application/json|{\"x\":1}"},
		{"AMLToken", "-r a.csv -d green", "Bearer token1|green|text/csv; charset=utf-8|x\n1\n"},
		{"Key", "--request-file a --deployment-name blue --content-type text/plain", "Bearer key1|blue|text/plain|raw"},
		{"Key", "-r a", "Bearer key1||application/json|raw"},
	} {
		mode = c.mode
		line := strings.Replace(c.line, " a", " "+dir+"/a", 1)
		got := p.ok(t, "ml online-endpoint invoke -n fraud -w ws -g rg1 "+line+" --query join('|',[who,where,type,body]) -o json")
		if want := fmt.Sprintf("%q\n", c.want); strings.ReplaceAll(got, `\u0026`, "&") != want {
			t.Errorf("%s %s: %s; want %s", c.mode, c.line, got, want)
		}
	}
	for _, c := range []struct{ mode, query, want string }{{"AADToken", "accessToken", "entra for https://ml.azure.com"}, {"AMLToken", "accessToken", "token1"}, {"Key", "secondaryKey", "key2"}} {
		mode = c.mode
		if got := p.ok(t, "ml online-endpoint get-credentials -n fraud -w ws -g rg1 -o tsv --query "+c.query); got != c.want+"\n" {
			t.Errorf("%s: %s", c.mode, got)
		}
	}
	if code, _, stderr := p.run(t.Context(), "ml online-endpoint invoke -n fraud -w ws -g rg1 -r "+filepath.Join(dir, "nosuch")); code != ExitUsage || !strings.Contains(stderr, "--request-file") {
		t.Errorf("%d, %s", code, stderr)
	}
}

// Answers that are no JSON are shown as they are, and refusals with their reason.
func TestAnswersOfEndpoints(t *testing.T) {
	endpoint := fakeWorkspace + "/onlineEndpoints/fraud"
	status := 200
	p := newPlant(t, map[string]http.HandlerFunc{
		"GET " + endpoint: func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"name":"fraud","properties":{"authMode":"AADToken","scoringUri":"https://%s/score"}}`, r.Host)
		},
		"POST /score": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, map[int]string{200: "plain, and no JSON", 403: `{"error":{"code":"Forbidden","message":"onlineEndpoints/score/action is missing"}}`}[status])
		},
	})
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"a.json": "{}"})
	line := "ml online-endpoint invoke -n fraud -w ws -g rg1 -r " + filepath.Join(dir, "a.json")
	if got := p.ok(t, line); got != "plain, and no JSON" {
		t.Error(got)
	}
	status = 403
	if code, _, stderr := p.run(t.Context(), line); code != ExitError || !strings.Contains(stderr, "(Forbidden) onlineEndpoints/score/action is missing") {
		t.Errorf("%d, %s", code, stderr)
	}
}

// What a deployment answers is shown with its status, and no word of it is taken for a code or a refusal of the server.
func TestErrorsOfDeployments(t *testing.T) {
	endpoint := fakeWorkspace + "/onlineEndpoints/fraud"
	status, body := 0, ""
	p := newPlant(t, map[string]http.HandlerFunc{
		"GET " + endpoint: func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"name":"fraud","properties":{"authMode":"AADToken","scoringUri":"https://%s/score"}}`, r.Host)
		},
		"POST /score": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(deploymentHeader, "blue")
			says(status, body)(w, r)
		},
	})
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"a.json": "{}"})
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{500, `{"error":"no column x"}`, `ERROR: the deployment blue answered 500 Internal Server Error: {"error":"no column x"}`},
		{404, "", "ERROR: the deployment blue answered 404 Not Found: (nothing)"},
		{401, "who are you", "ERROR: the deployment blue answered 401 Unauthorized: who are you"},
	} {
		status, body = c.status, c.body
		code, _, stderr := p.run(t.Context(), "ml online-endpoint invoke -n fraud -w ws -g rg1 -r "+filepath.Join(dir, "a.json"))
		if code != ExitError || stderr != c.want+"\n" {
			t.Errorf("%d, %s; want %s", code, stderr, c.want)
		}
	}
}

// What a flag or a file says of an endpoint changes that, and the rest stays.
func TestUpdatesOfEndpoints(t *testing.T) {
	endpoint := fakeWorkspace + "/onlineEndpoints/fraud"
	var put string
	p := newPlant(t, map[string]http.HandlerFunc{
		"GET " + endpoint: says(200, `{"name":"fraud","location":"west","tags":{"a":"1"},"identity":{"type":"SystemAssigned","principalId":"p"},
			"properties":{"authMode":"Key","description":"d","traffic":{"blue":100},"provisioningState":"Succeeded","scoringUri":"https://x/score"}}`),
		"PUT " + endpoint: func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			put = string(body)
			fmt.Fprint(w, put)
		},
	})
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"endpoint.yml": "name: fraud\ndescription: other\n"})
	for line, want := range map[string]string{
		"--traffic blue=90,green=10":                 `{"location":"west","identity":{"type":"SystemAssigned"},"tags":{"a":"1"},"properties":{"authMode":"Key","description":"d","traffic":{"blue":90,"green":10}}}`,
		"--set auth_mode=aad_token tags.b=2":         `{"location":"west","identity":{"type":"SystemAssigned"},"tags":{"a":"1","b":"2"},"properties":{"authMode":"AADToken","description":"d","traffic":{"blue":100}}}`,
		"-f " + filepath.Join(dir, "endpoint.yml"):   `{"location":"west","identity":{"type":"SystemAssigned"},"tags":{"a":"1"},"properties":{"authMode":"Key","description":"other","traffic":{"blue":100}}}`,
		"--tags= --description new --set traffic={}": `{"location":"west","identity":{"type":"SystemAssigned"},"tags":{},"properties":{"authMode":"Key","description":"new","traffic":{}}}`,
	} {
		p.ok(t, "ml online-endpoint update -n fraud -w ws -g rg1 "+line)
		sameJSON(t, rawJSON(put), want)
	}
	if code, _, stderr := p.run(t.Context(), "ml online-endpoint update -n fraud -w ws -g rg1"); code != ExitUsage || !strings.Contains(stderr, "nothing to change") {
		t.Errorf("%d, %s", code, stderr)
	}
}

// rawJSON is a text that is JSON already.
type rawJSON string

// MarshalJSON implements json.Marshaler.
func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }
