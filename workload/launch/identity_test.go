package launch_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/local"
	"github.com/alvara-ml/alvara/job/socket"
	"github.com/alvara-ml/alvara/workload"
)

// MI-20: the code gets tokens of the run's identities with the run's own secret, and with no other one; the secret is worth nothing where
// others ask.
func TestTokens(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		neighbour := w.order("env", "sleep")
		neighbour.Tokens, neighbour.ClientID = []string{w.ben.ID}, w.ben.ClientID
		other := w.launch(neighbour)
		w.until(other, "sleeping")
		theirs := variable(w.said(other), "IDENTITY_HEADER")
		if theirs == "" || variable(w.said(other), "AZURE_CLIENT_ID") != w.ben.ClientID || variable(w.said(other), "DEFAULT_IDENTITY_CLIENT_ID") != w.ben.ClientID ||
			variable(w.said(other), "MSI_SECRET") != theirs || variable(w.said(other), "MSI_ENDPOINT") == "" {
			t.Fatalf("the variables: %s", w.said(other))
		}
		order := w.order("token", "token wrong", "token "+theirs, "env")
		order.Tokens, order.ClientID = []string{w.ann.ID}, w.ann.ClientID
		_, status, said := w.run(order)
		lines := strings.Split(said, "\n")
		if status.State != job.Completed || len(lines) < 4 || !strings.HasPrefix(lines[0], "token 200") || !strings.Contains(lines[0], w.ann.ClientID) || !strings.HasPrefix(lines[1], "token 401") {
			t.Fatalf("%+v %s", status, said)
		}
		if w.kind == local.Sandbox && !strings.HasPrefix(lines[2], "token 401") {
			t.Errorf("another run's secret is worth something: %s", lines[2])
		}
		secret := variable(said, "IDENTITY_HEADER")
		for name, secret := range map[string]string{"a run that has ended": secret, "a bound run": theirs} {
			if w.kind == local.Process && secret == theirs {
				continue
			}
			if code := w.ask(secret); code != http.StatusUnauthorized {
				t.Errorf("%s at the server's own endpoint: %d", name, code)
			}
		}
		none := w.order("token")
		if _, status, said := w.run(none); status.State != job.Failed {
			t.Errorf("without tokens: %+v %s", status, said)
		}
	})
}

// ask asks the server's own endpoint.
func (w *world) ask(secret string) int {
	w.t.Helper()
	request, err := http.NewRequest(http.MethodGet, w.launcher.IdentityURL+"/msi/token?api-version=2019-08-01&resource=https://management.azure.com/", nil)
	w.must(err)
	request.Header.Set("X-IDENTITY-HEADER", secret)
	answer, err := http.DefaultClient.Do(request)
	w.must(err)
	w.must(answer.Body.Close())
	return answer.StatusCode
}

// variable finds a variable in what env printed.
func variable(said, name string) string {
	for line := range strings.Lines(said) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return value
		}
	}
	return ""
}

// BX-03: a run that the next server finds gets tokens again, and is served.
func TestAdopted(t *testing.T) {
	w := newWorld(t, local.Sandbox)
	order := w.order("env", "serve hello 8080")
	order.Tokens, order.Port = []string{w.ann.ID}, 8080
	run := w.launch(order)
	w.until(run, "serving")
	secret := variable(w.said(run), "IDENTITY_HEADER")
	path := w.dir + "/files/" + order.ID + "/identity.sock"
	ask := func() int {
		client := &http.Client{Transport: through(func() (conn, error) { return socket.Dial(t.Context(), path) })}
		request, err := http.NewRequest(http.MethodGet, "http://inside/msi/token?api-version=2019-08-01&resource=https://management.azure.com/", nil)
		w.must(err)
		request.Header.Set("X-IDENTITY-HEADER", secret)
		answer, err := client.Do(request)
		if err != nil {
			return 0
		}
		w.must(answer.Body.Close())
		return answer.StatusCode
	}
	if got := ask(); got != http.StatusOK {
		t.Errorf("at its socket: %d", got)
	}
	w.must(w.launcher.Close())
	if got := ask(); got != 0 {
		t.Errorf("while no server is there: %d", got)
	}
	w.launcher = w.open()
	for range 2 {
		adopted, err := w.launcher.Open(t.Context(), order)
		w.must(err)
		if got := ask(); got != http.StatusOK {
			t.Errorf("adopted: %d", got)
		}
		if got := w.fetch(adopted, "/x"); got != "hello at /x" {
			t.Errorf("adopted, it serves %q", got)
		}
	}
	w.must(run.Cancel(t.Context()))
	if _, err := run.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	ended, err := w.launcher.Open(t.Context(), order)
	w.must(err)
	w.must(ended.Release())
	if got := ask(); got != 0 {
		t.Errorf("after its end: %d", got)
	}
	var _ workload.Launched = ended
}
