package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/audit"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store/mem"
)

const (
	tenant     = "11111111-2222-3333-4444-555555555555"
	nobody     = "99999999-9999-4999-8999-999999999999"
	identityID = "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mat"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// tokens is an authenticator whose tokens read "audience:object id".
type tokens struct{ directory *identity.Directory }

func (a tokens) Authenticate(_ context.Context, token, resourceName string) (identity.Principal, error) {
	audience, id, _ := strings.Cut(token, ":")
	if audience != resourceName {
		return identity.Principal{}, resource.Errorf(resource.Unauthenticated, "InvalidAuthenticationTokenAudience", "the token is for %q", audience)
	}
	who, ok := a.directory.Active(id)
	if !ok {
		return identity.Principal{}, resource.Errorf(resource.Unauthenticated, "InvalidAuthenticationToken", "nobody has the id %q", id)
	}
	return who, nil
}

// world is the plane over a directory in memory, with an owner of the root, a contributor there, a reader there, and
// somebody without any role.
type world struct {
	t         *testing.T
	ctx       context.Context
	store     *mem.Store
	directory *identity.Directory
	audit     *audit.Memory
	log       *lockedBuffer
	server    *Server
	http      *httptest.Server

	owner, contributor, reader, stranger identity.UserObject
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := func() time.Time { return start }
	st := mem.New()
	directory, err := identity.OpenDirectory(st, tenant, clock)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ctx: t.Context(), store: st, directory: directory, audit: &audit.Memory{}, log: &lockedBuffer{}}
	w.owner, w.contributor, w.reader, w.stranger = w.user("owner"), w.user("contributor"), w.user("reader"), w.user("stranger")
	live := access.NewLive(access.Catalogue(), access.BuiltIn()...)
	for principal, role := range map[string]string{w.owner.ID: access.RoleOwner, w.contributor.ID: access.RoleContributor, w.reader.ID: access.RoleReader} {
		id, err := resource.ParseID("/providers/Microsoft.Authorization/roleAssignments/" + principal)
		if err != nil {
			t.Fatal(err)
		}
		live.Apply(access.PutAssignment{Assignment: access.Assignment{ID: id, RoleID: role, PrincipalID: principal, PrincipalType: "User", Scope: resource.Root}})
	}
	w.server = &Server{
		Directory: directory, Authenticator: tokens{directory}, Guard: &guard.Guard{Access: live, Audit: w.audit, Clock: clock},
		Audit: w.audit, Clock: clock, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	w.http = httptest.NewTLSServer(w.server)
	t.Cleanup(w.http.Close)
	return w
}

func (w *world) user(name string) identity.UserObject {
	w.t.Helper()
	user, err := w.directory.CreateUser(w.ctx, identity.NewUser{UserPrincipalName: name + "@example.org", DisplayName: strings.ToUpper(name[:1]) + name[1:]})
	if err != nil {
		w.t.Fatal(err)
	}
	return user
}

func (w *world) group(name string, members ...string) identity.GroupObject {
	w.t.Helper()
	group, err := w.directory.CreateGroup(w.ctx, name, "")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, id := range members {
		if err := w.directory.AddMember(w.ctx, group.ID, id); err != nil {
			w.t.Fatal(err)
		}
	}
	return group
}

func (w *world) application(name string) (identity.ApplicationObject, identity.ServicePrincipalObject) {
	w.t.Helper()
	application, err := w.directory.CreateApplication(w.ctx, name)
	if err != nil {
		w.t.Fatal(err)
	}
	service, err := w.directory.CreateServicePrincipal(w.ctx, application.AppID)
	if err != nil {
		w.t.Fatal(err)
	}
	return application, service
}

// reply is an answer as it came.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	text   string
	body   map[string]any
}

// send asks as somebody; path begins with a slash and lies below /v1.0, body is JSON or "".
func (w *world) send(as identity.UserObject, method, path, body string) reply {
	w.t.Helper()
	return w.raw("graph:"+as.ID, method, "/v1.0"+path, body)
}

func (w *world) raw(token, method, path, body string) reply {
	w.t.Helper()
	address := path
	if strings.HasPrefix(path, "/") {
		address = w.http.URL + path
	}
	request, err := http.NewRequestWithContext(w.ctx, method, address, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("client-request-id", "from-the-client")
	response, err := w.http.Client().Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	r := reply{t: w.t, status: response.StatusCode, header: response.Header, text: string(text)}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &r.body); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return r
}

// list asks for a list with a filter, as az writes it.
func (w *world) list(path, filter string) reply {
	w.t.Helper()
	if filter != "" {
		path += "?$filter=" + url.QueryEscape(filter)
	}
	return w.send(w.stranger, "GET", path, "")
}

func (r reply) want(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %s", r.status, status, r.text)
	}
	return r
}

// fails checks an error's status, code and a part of its message.
func (r reply) fails(status int, code, part string) {
	r.t.Helper()
	r.want(status)
	e, _ := r.body["error"].(map[string]any)
	inner, _ := e["innerError"].(map[string]any)
	message, _ := e["message"].(string)
	if e["code"] != code || !strings.Contains(message, part) {
		r.t.Fatalf("error %v, want code %s and a message with %q", r.body, code, part)
	}
	if inner["request-id"] != r.header.Get("request-id") || inner["client-request-id"] != "from-the-client" || inner["date"] != "2026-03-01T12:00:00" {
		r.t.Fatalf("innerError %v does not fit the header %v", inner, r.header)
	}
}

func (r reply) str(name string) string {
	text, _ := r.body[name].(string)
	return text
}

// column gives one property of every object of a list.
func (r reply) column(name string) string {
	r.t.Helper()
	values, ok := r.want(http.StatusOK).body["value"].([]any)
	if !ok {
		r.t.Fatalf("no list: %s", r.text)
	}
	var out []string
	for _, value := range values {
		object, _ := value.(map[string]any)
		text, _ := object[name].(string)
		out = append(out, text)
	}
	return strings.Join(out, " ")
}
