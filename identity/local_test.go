package identity

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func (w *world) listenLocal(owner int, principalID string) (client *http.Client, path string) {
	w.t.Helper()
	path = filepath.Join(w.t.TempDir(), "s")
	l, err := ListenLocal(LocalConfig{
		Path: path, OwnerUID: owner, Service: w.service, Principal: func() string { return principalID },
		Resource: armAudience, Endpoints: map[string]string{"resourceManager": w.server.URL},
	})
	w.must(err)
	done := make(chan error, 1)
	go func() { done <- l.Serve() }()
	w.t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			w.t.Error(err)
		}
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		if _, err := os.Lstat(path); err == nil {
			w.t.Error("the socket is left behind")
		}
	})
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}, path
}

func TestTheOwnerSignsInThroughTheSocket(t *testing.T) {
	w := newWorld(t)
	admin := w.user("admin@alvara.test", "")
	client, path := w.listenLocal(os.Getuid(), admin.ID)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the socket has mode %v, %v", info.Mode(), err)
	}
	response, err := client.Post("http://local/login", "application/json", nil)
	w.must(err)
	status, answer := w.read(response)
	if status != 200 || answer["tenant"] != testTenant || answer["client_id"] != ClientAzureCLI || answer["principal"] != admin.ID ||
		answer["endpoints"].(map[string]any)["resourceManager"] != w.server.URL {
		t.Fatalf("%d %v", status, answer)
	}
	w.wantAllowed(answer["access_token"].(string), "arm", admin.ID)
	status, renewed := w.post(v2Path, refreshForm(answer["refresh_token"]))
	if status != 200 {
		t.Fatalf("the refresh token: %d %v", status, renewed)
	}
	w.wantAllowed(renewed["access_token"].(string), "storage", admin.ID)

	response, err = client.Post("http://local/login", "application/json", strings.NewReader(`{"resource":"https://storage.azure.com/"}`))
	w.must(err)
	_, answer = w.read(response)
	w.wantAllowed(answer["access_token"].(string), "storage", admin.ID)
	for _, body := range []string{`{"resource":"https://example.org"}`, `{`} {
		response, err = client.Post("http://local/login", "application/json", strings.NewReader(body))
		w.must(err)
		if status, answer := w.read(response); status != 400 || answer["error"] == nil {
			t.Fatalf("%s: %d %v", body, status, answer)
		}
	}
	if _, err := ListenLocal(LocalConfig{Path: path, Service: w.service}); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Fatalf("a second server on the socket: %v", err)
	}
}

func TestOthersDoNotSignInThroughTheSocket(t *testing.T) {
	w := newWorld(t)
	admin := w.user("admin@alvara.test", "")
	// The peer is this process; the handler compares its uid as the kernel reports it.
	l := &LocalListener{config: LocalConfig{OwnerUID: 1234, Service: w.service, Principal: func() string { return admin.ID }, Resource: armAudience}}
	for _, peer := range []any{1235, nil, "0"} {
		recorder := httptest.NewRecorder()
		ctx := context.Background()
		if peer != nil {
			ctx = context.WithValue(ctx, peerKey{}, peer)
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "/login", strings.NewReader(""))
		w.must(err)
		l.login(recorder, request)
		if recorder.Code != http.StatusForbidden || strings.Contains(recorder.Body.String(), "access_token") {
			t.Fatalf("the peer %v gets %d %s", peer, recorder.Code, recorder.Body)
		}
	}
}

func TestStaleSocketsAreReplacedAndOtherFilesAreNot(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "s")
	old, err := net.Listen("unix", path)
	w.must(err)
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	w.must(old.Close())
	l, err := ListenLocal(LocalConfig{Path: path, Service: w.service})
	w.must(err)
	w.must(l.Close(w.ctx))
	w.must(os.WriteFile(path, []byte("precious"), 0o600))
	if _, err := ListenLocal(LocalConfig{Path: path, Service: w.service}); err == nil {
		t.Fatal("a file is replaced by the socket")
	}
	if body, _ := os.ReadFile(path); string(body) != "precious" {
		t.Fatal("the file is gone")
	}
}

func TestPeerUID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		if c, err := net.Dial("unix", path); err == nil {
			defer func() { _ = c.Close() }()
			_, _ = c.Read(make([]byte, 1))
		}
	}()
	c, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if uid, err := peerUID(c); err != nil || uid != os.Getuid() {
		t.Fatalf("%d, %v", uid, err)
	}
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if _, err := peerUID(a); err == nil {
		t.Fatal("a pipe has a peer")
	}
}
