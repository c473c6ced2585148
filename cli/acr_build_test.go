package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// builder is a registry that runs one build: its log grows by one chunk with every look, and is marked complete at the end.
type builder struct {
	*plant
	chunks   []string // what the log gets, look by look
	most     int      // bytes that one answer brings at most; 0 for all
	status   string   // how the run ends
	message  string
	lost     bool  // nobody ever marks the log as complete
	statuses []int // of the first answers about the log, before it is given

	mu        sync.Mutex
	looks     int
	source    []byte
	request   map[string]any
	cancelled bool
	links     int
}

func newBuilder(t *testing.T, more map[string]http.HandlerFunc) *builder {
	b := &builder{status: "Succeeded"}
	routes := map[string]http.HandlerFunc{
		"POST " + registryID + "/listBuildSourceUploadUrl": says(200, `{"uploadUrl":"https://HOST/sources/1.tar.gz?sig=s1","relativePath":"source/1.tar.gz"}`),
		"PUT /sources/1.tar.gz": func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.source = make([]byte, r.ContentLength)
			if _, err := readFull(r, b.source); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusCreated)
		},
		"POST " + registryID + "/scheduleRun": func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.request = map[string]any{}
			if err := json.NewDecoder(r.Body).Decode(&b.request); err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, b.run("Queued"))
		},
		"GET " + registryID + "/runs/cr1": func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			defer b.mu.Unlock()
			switch {
			case b.cancelled:
				fmt.Fprint(w, b.run("Canceled"))
			case b.looks >= len(b.chunks):
				fmt.Fprint(w, b.run(b.status))
			default:
				fmt.Fprint(w, b.run("Running"))
			}
		},
		"POST " + registryID + "/runs/cr1/listLogSasUrl": func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.links++
			fmt.Fprintf(w, `{"logLink":"https://%s/logs/cr1?sig=link%d"}`, r.Host, b.links)
		},
		"HEAD /logs/cr1": b.log, "GET /logs/cr1": b.log,
		"POST " + registryID + "/runs/cr1/cancel": func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.cancelled = true
		},
	}
	maps.Copy(routes, more)
	b.plant = newPlant(t, routes)
	return b
}

func readFull(r *http.Request, into []byte) (int, error) {
	n := 0
	for n < len(into) {
		m, err := r.Body.Read(into[n:])
		n += m
		if err != nil && n < len(into) {
			return n, err
		}
	}
	return n, nil
}

func (b *builder) run(status string) string {
	return fmt.Sprintf(`{"id":"%s/runs/cr1","name":"cr1","properties":{"runId":"cr1","status":%q,"runType":"QuickBuild","runErrorMessage":%q,"outputImages":[{"repository":"scorer","tag":"1"}]}}`,
		registryID, status, b.message)
}

// log answers for the log as the blob plane does.
func (b *builder) log(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Header.Get("Authorization") != "" {
		w.WriteHeader(http.StatusBadRequest) // a link brings its own right; our token is not for it
		return
	}
	if len(b.statuses) > 0 {
		status := b.statuses[0]
		b.statuses = b.statuses[1:]
		if status == 0 {
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		w.WriteHeader(status)
		return
	}
	if r.Method == http.MethodHead {
		b.looks++
	}
	text := strings.Join(b.chunks[:min(b.looks, len(b.chunks))], "")
	if b.looks >= len(b.chunks) && !b.lost {
		w.Header().Set("x-ms-meta-Complete", "successful")
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		return
	}
	var from, to int
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil || from >= len(text) || to < from {
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	end := min(to+1, len(text))
	if b.most > 0 {
		end = min(end, from+b.most)
	}
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, end-1, len(text)))
	w.WriteHeader(http.StatusPartialContent)
	fmt.Fprint(w, text[from:end])
}

var sources = map[string]string{"Dockerfile": "FROM base", ".dockerignore": "secret\n", "app.py": "print(1)", "secret": "x"}

// What a build sends: the packed folder with Put Blob to the link alone, and the request with ACR's own field names (MI-11).
func TestBuildOnTheWire(t *testing.T) {
	b := newBuilder(t, nil)
	b.chunks = []string{"step 1\r\n10%\r20%\r", "", "\nstep 2\r\n"}
	b.env["FROM_ENV"] = "v3"
	dir := folder(t, sources)
	code, stdout, stderr := b.plant.run(t.Context(), "acr build -r fraudacr -t scorer:1 -t scorer:{{.Run.ID}} --build-arg A=1 --build-arg FROM_ENV --build-arg EMPTY= --secret-build-arg S=hush "+
		"--target prod --no-cache --platform linux/arm64/v8 --timeout 60 --identity builder --credential base.cr.local=[system] --credential other.example.org=11111111-2222-3333-4444-555555555555 "+dir)
	if code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	seen := b.sent()
	got := lines(seen)[:5]
	want := []string{"GET /subscriptions/sub1/resources", "POST " + registryID + "/listBuildSourceUploadUrl", "PUT /sources/1.tar.gz", "POST " + registryID + "/scheduleRun", "POST " + registryID + "/runs/cr1/listLogSasUrl"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	for _, e := range seen[1:5] {
		if e.Method == "POST" && e.Query.Get("api-version") != registryRunsAPI {
			t.Errorf("%s with the api-version %s", e.Path, e.Query.Get("api-version"))
		}
	}
	put := seen[2]
	if put.Header.Get("x-ms-blob-type") != "BlockBlob" || put.Header.Get("Authorization") != "" || put.Query.Get("sig") != "s1" || put.Header.Get("Content-Length") != strconv.Itoa(len(put.Body)) {
		t.Errorf("the sources are put with %v", put.Header)
	}
	if names, _ := packed(t, b.source); !reflect.DeepEqual(names, []string{".dockerignore", "Dockerfile", "app.py"}) {
		t.Errorf("the sources are %q", names)
	}
	var asked map[string]any
	if err := json.Unmarshal([]byte(`{"type":"DockerBuildRequest","isPushEnabled":true,"noCache":true,"imageNames":["scorer:1","scorer:{{.Run.ID}}"],
		"platform":{"os":"linux","architecture":"arm64","variant":"v8"},"timeout":60,"target":"prod","dockerFilePath":"Dockerfile","sourceLocation":"source/1.tar.gz",
		"arguments":[{"name":"A","value":"1","isSecret":false},{"name":"FROM_ENV","value":"v3","isSecret":false},{"name":"EMPTY","value":"","isSecret":false},{"name":"S","value":"hush","isSecret":true}],
		"credentials":{"sourceRegistry":{"identity":"/subscriptions/sub1/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder"},
			"customRegistries":{"base.cr.local":{"identity":"[system]"},"other.example.org":{"identity":"11111111-2222-3333-4444-555555555555"}}}}`), &asked); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(b.request, asked) {
		t.Errorf("the run is asked for by %v, want %v", b.request, asked)
	}
	if !strings.Contains(stderr, "step 1\n10%\r20%\nstep 2\n") || strings.Contains(stdout, "step") {
		t.Errorf("the log belongs to stderr:\n%s\n%s", stdout, stderr)
	}
	if !strings.Contains(stdout, `"runId": "cr1"`) || !strings.Contains(stdout, `"status": "Succeeded"`) {
		t.Errorf("printed %s", stdout)
	}
	if strings.Contains(stderr, "hush") {
		t.Errorf("a secret is shown: %s", stderr)
	}
}

func TestBuildWithoutPushAndLogs(t *testing.T) {
	b := newBuilder(t, nil)
	b.ok(t, "acr build -r fraudacr -g rg1 --no-push --no-logs "+folder(t, sources))
	if b.request["isPushEnabled"] != false || b.request["credentials"] != nil || b.request["target"] != nil {
		t.Errorf("asked for %v", b.request)
	}
	if b.links != 0 {
		t.Error("the log was asked for")
	}
	if _, _, stderr := b.plant.run(t.Context(), "acr build -r fraudacr -g rg1 --no-logs "+folder(t, sources)); b.request["isPushEnabled"] != false || !strings.Contains(stderr, "not pushed") {
		t.Errorf("an image without a name is pushed: %v\n%s", b.request, stderr)
	}
	b.looks, b.chunks = 0, []string{"never ends"}
	if out := b.ok(t, "acr build -r fraudacr -g rg1 --no-wait --query status -o tsv "+folder(t, sources)); out != "Queued\n" {
		t.Errorf("printed %q", out)
	}
}

// A run that fails ends the command with its reason, after the log and without the run.
func TestBuildThatFails(t *testing.T) {
	for _, status := range []string{"Failed", "Error", "Timeout", "Canceled"} {
		b := newBuilder(t, nil)
		b.status, b.message, b.chunks = status, "AcrPull is missing on base", []string{"pulling\n"}
		code, stdout, stderr := b.plant.run(t.Context(), "acr build -r fraudacr -g rg1 -t scorer:1 "+folder(t, sources))
		if code != ExitError || !strings.Contains(stderr, "pulling\nERROR: (Run"+status+") the run cr1 ended as "+status+": AcrPull is missing on base") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
		if stdout != "" {
			t.Errorf("%s: printed %s", status, stdout)
		}
	}
}

// The log arrives whole and once, however it is cut: small answers, an empty look, a store that is not ready, a link that
// has run out, a run that is cut off before its log is complete.
func TestLogIsStreamedWhole(t *testing.T) {
	long := strings.Repeat("0123456789", 50) + "\n"
	for name, c := range map[string]struct {
		set   func(*builder)
		links int
	}{
		"small answers":           {func(b *builder) { b.most = 7 }, 1},
		"no log yet":              {func(b *builder) { b.statuses = []int{404, 404, 503} }, 1},
		"a link that has run out": {func(b *builder) { b.statuses = []int{403} }, 2},
		"a server that is away":   {func(b *builder) { b.statuses = []int{0, 0, 503} }, 1},
		"never complete":          {func(b *builder) { b.lost = true }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBuilder(t, nil)
			b.chunks = []string{"a\n", "", long, "z\n"}
			c.set(b)
			if out := b.ok(t, "acr task logs -r fraudacr -g rg1 --run-id cr1"); out != "a\n"+long+"z\n" {
				t.Errorf("printed %q", out)
			}
			if b.links != c.links {
				t.Errorf("%d links", b.links)
			}
		})
	}
}

// A log that cannot be read is no reason to end the run, and the command says that it goes on.
func TestBuildWithoutTheRightToItsLog(t *testing.T) {
	b := newBuilder(t, map[string]http.HandlerFunc{
		"POST " + registryID + "/runs/cr1/listLogSasUrl": says(403, `{"error":{"code":"AuthorizationFailed","message":"runs/listLogSasUrl/action is missing"}}`),
	})
	code, _, stderr := b.plant.run(t.Context(), "acr build -r fraudacr -g rg1 "+folder(t, sources))
	if code != ExitError || b.cancelled || !strings.Contains(stderr, "the run cr1 goes on; `alvara acr task logs -r fraudacr --run-id cr1`") || !strings.Contains(stderr, "is missing") {
		t.Errorf("exit code %d, cancelled %v\n%s", code, b.cancelled, stderr)
	}
}

func TestLogThatIsRefused(t *testing.T) {
	b := newBuilder(t, nil)
	b.statuses = []int{403, 403}
	if code, _, stderr := b.plant.run(t.Context(), "acr task logs -r fraudacr -g rg1 --run-id cr1"); code != ExitError || !strings.Contains(stderr, "403") || strings.Contains(stderr, "sig=") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// Ctrl-C ends the run on the server, and says so.
func TestStoppedBuildIsCancelled(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   int
		stderr string
	}{
		"cancelled":         {nil, 130, "the run cr1 is cancelled on the server"},
		"ended by itself":   {says(409, `{"error":{"code":"RunAlreadyEnded","message":"ended"}}`), 130, "the run cr1 had ended by itself"},
		"not to be stopped": {says(403, `{"error":{"code":"AuthorizationFailed","message":"no"}}`), ExitError, "the run cr1 could not be cancelled and goes on"},
	} {
		t.Run(name, func(t *testing.T) {
			more := map[string]http.HandlerFunc{}
			if c.answer != nil {
				more["POST "+registryID+"/runs/cr1/cancel"] = c.answer
			}
			b := newBuilder(t, more)
			b.chunks = make([]string, 1_000_000) // it goes on for as long as it is let
			b.chunks[0] = "started\n"
			ctx, stop := context.WithCancel(t.Context())
			next := b.routes["HEAD /logs/cr1"]
			b.routes["HEAD /logs/cr1"] = func(w http.ResponseWriter, r *http.Request) {
				next(w, r)
				if b.looks > 2 {
					stop()
				}
			}
			code, stdout, stderr := b.plant.run(ctx, "acr build -r fraudacr -g rg1 "+folder(t, sources))
			if code != c.code || !strings.Contains(stderr, c.stderr) || stdout != "" {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
			if c.answer == nil && !b.cancelled {
				t.Error("the run goes on")
			}
		})
	}
}

// Ctrl-C while the run is being queued does not leave a run that nobody knows of.
func TestStoppedWhileQueueing(t *testing.T) {
	b := newBuilder(t, nil)
	b.chunks = make([]string, 1_000_000)
	ctx, stop := context.WithCancel(t.Context())
	next := b.routes["POST "+registryID+"/scheduleRun"]
	b.routes["POST "+registryID+"/scheduleRun"] = func(w http.ResponseWriter, r *http.Request) {
		stop()
		time.Sleep(50 * time.Millisecond)
		next(w, r)
	}
	if code, _, stderr := b.plant.run(ctx, "acr build -r fraudacr -g rg1 "+folder(t, sources)); code != 130 || !b.cancelled {
		t.Errorf("exit code %d, cancelled %v\n%s", code, b.cancelled, stderr)
	}
}

// A transient refusal of the store costs another try with the whole archive, a lasting one ends the build before it is queued.
func TestUploadOfSources(t *testing.T) {
	tries := 0
	b := newBuilder(t, nil)
	put := b.routes["PUT /sources/1.tar.gz"]
	b.routes["PUT /sources/1.tar.gz"] = func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries == 1 {
			says(503, `<?xml version="1.0"?><Error><Code>ServerBusy</Code><Message>busy</Message></Error>`)(w, r)
			return
		}
		put(w, r)
	}
	b.ok(t, "acr build -r fraudacr -g rg1 --no-logs "+folder(t, sources))
	if names, _ := packed(t, b.source); tries != 2 || len(names) != 3 {
		t.Errorf("%d tries, and the sources are %q", tries, names)
	}
	b.sent()
	b.routes["PUT /sources/1.tar.gz"] = says(403, `<?xml version="1.0"?><Error><Code>AuthenticationFailed</Code><Message>expired</Message></Error>`)
	code, _, stderr := b.plant.run(t.Context(), "acr build -r fraudacr -g rg1 "+folder(t, sources))
	if code != ExitError || !strings.Contains(stderr, "(AuthenticationFailed) expired") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for _, line := range lines(b.sent()) {
		if strings.HasSuffix(line, "scheduleRun") {
			t.Error("a build without sources was queued")
		}
	}
}

func TestBuildsThatAreRefused(t *testing.T) {
	b := newBuilder(t, nil)
	dir := folder(t, sources)
	for line, want := range map[string]string{
		"https://github.com/a/b.git": "is a URL, and builds take their files from a local folder",
		"git@github.com:a/b.git":     "is a git repository",
		"oci://x/y":                  "is an artifact",
		"-":                          "not from stdin",
		"/dev/null":                  "needs a folder",
		"--file nosuch " + dir:       "there is no Dockerfile nosuch",
		"--build-arg =1 " + dir:      "has no name before the '='",
		"--build-arg NOSUCH " + dir:  "has no value here and none in the environment",
		"--platform a/b/c/d " + dir:  "is not of the form OS",
		"--timeout 0 " + dir:         "is no time",
		"--credential host " + dir:   "is not of the form HOST=IDENTITY",
		"--credential h=[system] --credential h=x " + dir: "is given two identities",
		"--identity /nonsense " + dir:                     "is no identity",
		dir + "/Dockerfile":                               "is no folder",
	} {
		code, stdout, stderr := b.plant.run(t.Context(), "acr build -r fraudacr -g rg1 "+line)
		if code != ExitUsage || !strings.Contains(stderr, want) || stdout != "" {
			t.Errorf("%s: exit code %d\n%s", line, code, stderr)
		}
	}
	if seen := b.sent(); len(seen) > 0 {
		t.Errorf("refused builds sent %q", lines(seen))
	}
}
