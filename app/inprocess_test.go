package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Within the process an answer comes as over the network: while it is written, with its head alone where that was asked for, cut off
// where the handler gives up, and no further than somebody reads.
func TestServeInProcess(t *testing.T) {
	ended := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			if r.TLS == nil || r.Host != "reg.example.org:5000" || r.RequestURI != "/echo?x=1" {
				t.Errorf("%+v", r)
			}
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(http.StatusAccepted)
			w.Header().Set("Late", "x")
			_, _ = io.Copy(w, r.Body)
		case "/abort":
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		case "/endless":
			for {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					ended <- err
					return
				}
			}
		case "/silent":
			<-r.Context().Done()
			ended <- r.Context().Err()
		}
	})
	ask := func(ctx context.Context, method, path, body string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, method, "https://reg.example.org:5000"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return serveInProcess(handler, r)
	}
	for method, want := range map[string]string{http.MethodPost: "hello", http.MethodHead: ""} {
		answer, err := ask(t.Context(), method, "/echo?x=1", "hello")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil || string(text) != want || answer.StatusCode != http.StatusAccepted || answer.ContentLength != 5 || answer.Header.Get("Late") != "" {
			t.Errorf("%s: %q %v %+v", method, text, err, answer)
		}
	}
	answer, err := ask(t.Context(), http.MethodGet, "/abort", "")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(answer.Body); err == nil || string(text) != "half" {
		t.Errorf("what was cut off is whole: %q %v", text, err)
	}
	answer, err = ask(t.Context(), http.MethodGet, "/endless", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(answer.Body, make([]byte, 10_000)); err != nil {
		t.Error(err)
	}
	if err := answer.Body.Close(); err != nil || <-ended == nil {
		t.Errorf("nobody reads, and it goes on (%v)", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := ask(ctx, http.MethodGet, "/silent", ""); !errors.Is(err, context.Canceled) || <-ended == nil {
		t.Errorf("%v", err)
	}
}
