package launch_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/local"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

type conn = net.Conn

// through is a client of whom dial reaches.
func through(dial func() (net.Conn, error)) *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return dial() }}
}

// fetch asks what a run serves.
func (w *world) fetch(run workload.Launched, path string) string {
	w.t.Helper()
	client := &http.Client{Transport: through(func() (net.Conn, error) { return run.Dial(w.t.Context()) })}
	answer, err := client.Get("http://run" + path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	w.must(err)
	return string(text)
}

// MI-11: a run reaches the planes and what its order names, by names too, and nothing else.
func TestNetwork(t *testing.T) {
	w := newWorld(t, local.Sandbox)
	extra, secret := w.listen("extra"), w.listen("secret")
	order := w.order("get "+w.plane.Inside, "get "+extra.Inside, "named management.example.org", "named localhost", "cat /alvara/ca.pem")
	order.Reach = []string{extra.Outside}
	if _, status, said := w.run(order); status.State != job.Completed || !strings.HasPrefix(said, "heard plane\nheard extra\n[127.0.0.1]\n") || !strings.Contains(said, "authorities") {
		t.Errorf("%+v %q", status, said)
	}
	for _, address := range []string{secret.Inside, extra.Inside, "192.0.2.1:80"} {
		if _, status, said := w.run(w.order("get " + address)); status.State != job.Failed || strings.Contains(said, "heard") {
			t.Errorf("%s: %+v %q", address, status, said)
		}
	}
	order = w.order("get localhost:17991")
	_, port, err := net.SplitHostPort(extra.Outside)
	w.must(err)
	order.Reach = []string{"localhost:" + port}
	order.Command = w.order("get elsewhere.example.org:" + port).Command
	order.Reach = []string{"elsewhere.example.org:" + port} // a name that this machine does not know: the way is there and leads nowhere
	if _, _, said := w.run(order); strings.Contains(said, "no such host") || strings.Contains(said, "refused") {
		t.Errorf("%q", said)
	}
	for want, reach := range map[string][]string{"must be host:port": {"nothing"}, "another port": {"one.example.org:80", "two.example.org:80"}} {
		order := w.order("say x")
		order.Reach = reach
		_, err := w.launcher.Launch(t.Context(), order, nil)
		isKind(t, err, resource.Invalid, want)
	}
}

// MI-14: what a run serves is reached, each run's at its own.
func TestServing(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		var runs []workload.Launched
		for _, word := range []string{"one", "two"} {
			order := w.order("serve " + word + " 8080")
			order.Port = 8080
			run := w.launch(order)
			w.until(run, "serving")
			runs = append(runs, run)
		}
		for i, want := range []string{"one at /score", "two at /score"} {
			for end := 100; end > 0; end-- { // it says so before it listens
				if got := w.fetch(runs[i], "/score"); got == want {
					break
				} else if end == 1 {
					t.Errorf("%q, want %q", got, want)
				}
			}
		}
		w.must(runs[0].Cancel(t.Context()))
		if _, err := runs[0].Wait(t.Context()); err != nil {
			t.Error(err)
		}
		_, err := runs[0].Dial(t.Context())
		isKind(t, err, resource.Unavailable)
		silent := w.launch(w.order("sleep"))
		_, err = silent.Dial(t.Context())
		isKind(t, err, resource.Invalid)
	})
}
