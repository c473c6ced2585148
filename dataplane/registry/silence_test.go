package registry

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// stall sends a request that announces more bytes than it brings, and leaves the connection open.
func (w *world) stall(method, path string, header http.Header, size int, body string) *bufio.Reader {
	w.t.Helper()
	connection, err := tls.Dial("tcp", strings.TrimPrefix(w.http["alpha"].URL, "https://"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(connection, "%s %s HTTP/1.1\r\nHost: alpha\r\nAuthorization: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		method, path, header.Get("Authorization"), manifestType, size, body)
	return bufio.NewReader(connection)
}

// A client that falls silent is cut off: it is told, its upload can be asked for meanwhile, and goes on from what it sent.
func TestSilentClient(t *testing.T) {
	w := newWorld(t)
	w.server.Silence = 2 * time.Second
	w.grant("somebody", "Owner", resource.Root)
	header := w.as("somebody", "team/app")
	upload := w.must(202, call{method: "POST", path: "/v2/team/app/blobs/uploads/", header: header}).header.Get("Location")
	stalled := w.stall("PATCH", upload, header, 1000, "hel")
	time.Sleep(200 * time.Millisecond)
	w.must(204, call{method: "GET", path: upload, header: header})
	cut, err := http.ReadResponse(stalled, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(cut.Body)
	if cut.StatusCode != 400 || !strings.Contains(string(body), "nothing of the body came for 2s") {
		t.Errorf("who is silent gets %d %s", cut.StatusCode, body)
	}
	if _, err := stalled.ReadByte(); err != io.EOF {
		t.Errorf("the connection goes on: %v", err)
	}
	if at := w.must(204, call{method: "GET", path: upload, header: header}).header.Get("Range"); at != "0-2" {
		t.Errorf("the upload is at %s", at)
	}
	w.must(202, call{method: "PATCH", path: upload, header: with(header, "Content-Range", "3-4"), body: []byte("lo")})
	w.must(201, call{method: "PUT", path: upload + "?digest=" + helloDigest, header: header})
	cut, err = http.ReadResponse(w.stall("PUT", "/v2/team/app/manifests/v1", header, 1000, "{"), nil)
	if err != nil || cut.StatusCode != 400 {
		t.Errorf("a manifest that does not come: %v, %v", cut, err)
	}
}

// The connection of a client that says nothing between two requests is not cut off.
func TestSilenceBetweenRequests(t *testing.T) {
	w := newWorld(t)
	w.server.Silence = 100 * time.Millisecond
	w.grant("somebody", "Owner", resource.Root)
	header := w.as("somebody", "team/app")
	r, release := io.Pipe()
	go func() {
		for _, part := range []string{"he", "l", "lo"} { // slow, and never silent
			time.Sleep(50 * time.Millisecond)
			_, _ = release.Write([]byte(part))
		}
		_ = release.Close()
	}()
	request, _ := http.NewRequestWithContext(t.Context(), "POST", w.http["alpha"].URL+"/v2/team/app/blobs/uploads/?digest="+helloDigest, r)
	request.Header = header.Clone()
	answer, err := w.http["alpha"].Client().Do(request)
	if err != nil || answer.StatusCode != 201 {
		t.Fatalf("a slow client: %v, %v", answer, err)
	}
	_ = answer.Body.Close()
	time.Sleep(300 * time.Millisecond)
	w.must(200, call{method: "GET", path: "/v2/team/app/blobs/" + helloDigest, header: header})
}

// What is announced and has no room is refused without its bytes.
func TestAnnouncedBeyondQuota(t *testing.T) {
	w := newWorld(t)
	w.grant("somebody", "Owner", resource.Root)
	w.catalog.change("alpha", func(r *Registry) { r.Quota = 1000 })
	header := w.as("somebody", "team/app")
	upload := w.must(202, call{method: "POST", path: "/v2/team/app/blobs/uploads/", header: header}).header.Get("Location")
	began := time.Now()
	w.server.Silence = 20 * time.Second
	refused, err := http.ReadResponse(w.stall("PATCH", upload, header, 1<<30, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(refused.Body)
	if refused.StatusCode != 403 || !strings.Contains(string(body), "QUOTA_EXCEEDED") || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %d %s", time.Since(began), refused.StatusCode, body)
	}
}

// A form beyond the limit is answered, however it is sent, and the connection goes on.
func TestLargeForm(t *testing.T) {
	w := newWorld(t)
	for name, size := range map[string]int64{"announced": 3 << 20, "chunked": -1} {
		request, _ := http.NewRequestWithContext(t.Context(), "POST", w.http["alpha"].URL+"/oauth2/token", strings.NewReader("scope="+strings.Repeat("x", 3<<20)))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if size < 0 {
			request.ContentLength = -1
		}
		response, err := w.http["alpha"].Client().Do(request)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, err := io.ReadAll(response.Body)
		if response.StatusCode != 413 || response.Close || err != nil || !strings.Contains(string(body), "the form is larger than 65536 bytes") {
			t.Errorf("%s: %d %s %v, closed %v", name, response.StatusCode, body, err, response.Close)
		}
		_ = response.Body.Close()
	}
}
