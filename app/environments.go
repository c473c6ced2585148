package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/alvara-ml/alvara/dataplane/registry"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
)

// environmentRegistries are the registries as builds of environments need them. What they ask of a registry goes through its
// plane, as the one on whose behalf they ask.
type environmentRegistries struct{ *Server }

func (e environmentRegistries) Hosts() map[string]resource.ID {
	out := map[string]resource.ID{}
	for _, r := range e.registryCatalog.All() {
		out[strings.ToLower(r.LoginServer)] = r.ID
	}
	return out
}

func (e environmentRegistries) Digest(ctx context.Context, who identity.Principal, at resource.ID, repository, reference string) (string, error) {
	name := strings.ToLower(at.Name())
	known, err := e.registryCatalog.Registry(ctx, name)
	if err != nil {
		return "", err
	}
	access, err := e.tokens.IssueManaged(ctx, who.ID, "https://containerregistry.azure.net/")
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"access_token"}, "service": {known.LoginServer}, "access_token": {access.AccessToken}}
	answer, err := e.ask(ctx, name, http.MethodPost, "/oauth2/exchange", strings.NewReader(form.Encode()), "application/x-www-form-urlencoded", "")
	if err != nil {
		return "", err
	}
	var exchanged struct {
		Token string `json:"refresh_token"`
	}
	if err := json.Unmarshal(answer.body.Bytes(), &exchanged); err != nil {
		return "", err
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(registry.NoUser+":"+exchanged.Token))
	if answer, err = e.ask(ctx, name, http.MethodGet, "/v2/"+repository+"/manifests/"+reference, nil, "", basic); err != nil {
		return "", err
	}
	return answer.header.Get("Docker-Content-Digest"), nil
}

// ask makes a request of a registry's plane, through its pipeline like everybody.
func (e environmentRegistries) ask(ctx context.Context, name, method, path string, body io.Reader, contentType, authorization string) (*response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "https://"+name+path, body)
	if err != nil {
		return nil, resource.Invalidf("InvalidReference", "%s is no path of a registry: %v", path, err)
	}
	r.RequestURI, r.RemoteAddr, r.TLS = r.URL.RequestURI(), "127.0.0.1:0", inProcess
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := &response{header: http.Header{}}
	e.registry.Handler(name).ServeHTTP(w, r)
	kind, refused := map[int]resource.Kind{
		http.StatusUnauthorized: resource.Unauthenticated, http.StatusForbidden: resource.Forbidden, http.StatusNotFound: resource.NotFound, http.StatusBadRequest: resource.Invalid,
	}[w.status]
	switch {
	case w.status < 300:
		return w, nil
	case !refused:
		return nil, fmt.Errorf("%s %s of the registry %s: %d %s", method, path, name, w.status, w.body.String())
	}
	var told struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(w.body.Bytes(), &told) != nil || len(told.Errors) == 0 {
		told.Errors = append(told.Errors, struct{ Code, Message string }{"RegistryRefused", http.StatusText(w.status)})
	}
	return nil, resource.Errorf(kind, told.Errors[0].Code, "%s", told.Errors[0].Message)
}

func (e environmentRegistries) Upload(ctx context.Context, address string, source io.Reader, size int64) error {
	return e.taskFiles.put(ctx, address, source, size)
}

// openBlob opens an object as somebody.
func (s *Server) openBlob(ctx context.Context, who identity.Principal, account, container, path string) (io.ReadCloser, int64, error) {
	object, reader, err := s.blob.As(who, "").Read(ctx, account, container, path)
	return reader, object.Size, err
}
