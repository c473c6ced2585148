// Package testenv runs a whole server for tests and lets them act as users: env.As(user).PUT(…). Requests go over TLS, or
// through the same handlers in the process; a test that is given both must see the same.
package testenv

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/app"
)

// Env is a running server.
type Env struct {
	t      testing.TB
	Server *app.Server
	Dir    string
	HTTP   *http.Client
}

// Start runs a server in a new folder until the test ends.
func Start(t testing.TB) *Env {
	t.Helper()
	return StartIn(t, app.Config{DataDir: Folder(t)})
}

// Folder makes a data folder that goes with the test.
func Folder(t testing.TB) string {
	t.Helper()
	// Unix sockets have short names, and the test's own folder can have a long one.
	dir, err := os.MkdirTemp("", "alvara-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// StartIn runs a server with a configuration until the test ends.
func StartIn(t testing.TB, config app.Config) *Env {
	t.Helper()
	server, err := app.Open(t.Context(), config)
	if err != nil {
		t.Fatalf("the server does not start: %v", err)
	}
	env := &Env{t: t, Server: server, Dir: config.DataDir}
	t.Cleanup(env.Stop)
	pem, err := os.ReadFile(filepath.Join(config.DataDir, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	env.HTTP = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: false}, Timeout: 2 * time.Minute}
	return env
}

// Stop ends the server before the test does.
func (e *Env) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if e.HTTP != nil {
		e.HTTP.CloseIdleConnections() // for one that was opened and never used the server would wait some seconds
	}
	if err := e.Server.Close(ctx); err != nil {
		e.t.Errorf("the server does not stop: %v", err)
	}
}

// Group is the id of a resource group in the server's subscription.
func (e *Env) Group(name string) string {
	return "/subscriptions/" + e.Server.Endpoints.Subscription + "/resourceGroups/" + name
}

// User is somebody who sends requests.
type User struct {
	env      *Env
	Name     string
	ObjectID string
	ClientID string
	Secret   string
	tokens   map[string]string
}

// Admin signs in as the local administrator, through the Unix socket.
func (e *Env) Admin() *User {
	e.t.Helper()
	socket := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(e.Dir, "alvara.sock"))
	}}}
	user := &User{env: e, Name: "admin", tokens: map[string]string{}}
	for _, audience := range []string{managementAudience, storageAudience, featuresAudience, graphAudience} {
		answer, err := socket.Post("http://alvara/login", "application/json", strings.NewReader(fmt.Sprintf(`{"resource":%q}`, audience)))
		if err != nil {
			e.t.Fatal(err)
		}
		var set struct {
			AccessToken string `json:"access_token"`
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err := json.Unmarshal(text, &set); err != nil || set.AccessToken == "" {
			e.t.Fatalf("local sign-in: %s: %s", answer.Status, text)
		}
		user.tokens[audience] = set.AccessToken
	}
	return user
}

// The audiences of the planes, for Send.
const (
	Storage  = storageAudience
	Features = featuresAudience
	Graph    = graphAudience
)

const (
	managementAudience = "https://management.azure.com/"
	storageAudience    = "https://storage.azure.com/"
	featuresAudience   = "https://ml.azure.com/"
	graphAudience      = "https://graph.microsoft.com/"
)

// Token gives the user's token for an audience.
func (u *User) Token(audience string) string {
	u.env.t.Helper()
	if token := u.tokens[audience]; token != "" {
		return token
	}
	answer, err := u.env.HTTP.PostForm(u.env.Server.Endpoints.Authority+"/"+u.env.Server.Endpoints.Tenant+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {u.ClientID}, "client_secret": {u.Secret}, "scope": {audience + "/.default"},
	})
	if err != nil {
		u.env.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var set struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error_description"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil || set.AccessToken == "" {
		u.env.t.Fatalf("%s gets no token: %s %v", u.Name, set.Error, err)
	}
	u.tokens[audience] = set.AccessToken
	return set.AccessToken
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Raw    []byte
	Body   map[string]any
}

// Code is the error's code, or "".
func (a Answer) Code() string {
	if e, ok := a.Body["error"].(map[string]any); ok {
		code, _ := e["code"].(string)
		return code
	}
	return a.Header.Get("x-ms-error-code")
}

// Message is the error's message, or "".
func (a Answer) Message() string {
	if e, ok := a.Body["error"].(map[string]any); ok {
		message, _ := e["message"].(string)
		return message
	}
	return string(a.Raw)
}

// Get reads a field of the body by its path, such as properties.provisioningState.
func (a Answer) Get(path string) any {
	var value any = a.Body
	for _, name := range strings.Split(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

// Text is Get for strings.
func (a Answer) Text(path string) string {
	text, _ := a.Get(path).(string)
	return text
}

// Do sends a request to the resource manager and waits for a long-running operation to end. body is marshalled unless it
// is a string.
func (u *User) Do(method, path string, body any) Answer {
	u.env.t.Helper()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	address := u.env.Server.Endpoints.ResourceManager + path
	if !strings.Contains(path, "api-version=") {
		address += separator + "api-version=2024-04-01"
	}
	answer := u.send(method, address, managementAudience, body)
	if answer.Status != http.StatusAccepted || answer.Header.Get("Azure-AsyncOperation") == "" {
		return answer
	}
	for range 600 {
		status := u.send("GET", answer.Header.Get("Azure-AsyncOperation"), managementAudience, nil)
		switch status.Text("status") {
		case "Succeeded":
			return u.send("GET", answer.Header.Get("Location"), managementAudience, nil)
		case "Failed":
			return Answer{Status: http.StatusConflict, Header: status.Header, Raw: status.Raw, Body: status.Body}
		}
		time.Sleep(20 * time.Millisecond)
	}
	u.env.t.Fatalf("%s %s does not end", method, path)
	return answer
}

// Send sends a request to an address of any plane.
func (u *User) Send(method, address, audience string, body any) Answer {
	u.env.t.Helper()
	return u.send(method, address, audience, body)
}

func (u *User) send(method, address, audience string, body any) Answer {
	u.env.t.Helper()
	answer, err := u.try(u.env.t.Context(), method, address, audience, body)
	if err != nil {
		u.env.t.Fatalf("%s %s: %v", method, address, err)
	}
	return answer
}

func (u *User) try(ctx context.Context, method, address, audience string, body any) (Answer, error) {
	var reader io.Reader
	switch content := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(content)
	case []byte:
		reader = bytes.NewReader(content)
	default:
		text, err := json.Marshal(content)
		if err != nil {
			return Answer{}, err
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, reader)
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+u.Token(audience))
	if audience == storageAudience {
		request.Header.Set("x-ms-version", "2023-11-03")
		if method == "PUT" && strings.Count(request.URL.Path, "/") > 2 {
			request.Header.Set("x-ms-blob-type", "BlockBlob")
		}
	}
	response, err := u.env.HTTP.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = response.Body.Close() }() // read to its end, or given up
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Status: response.StatusCode, Header: response.Header, Raw: text}
	answer.parse()
	return answer, nil
}

func (a *Answer) parse() { _ = json.Unmarshal(a.Raw, &a.Body) } // not every plane speaks JSON
