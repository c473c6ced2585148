package cli

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const fakeWorkspace = "/subscriptions/sub1/resourceGroups/rg1/providers/Microsoft.MachineLearningServices/workspaces/ws"

// site is a workspace with a datastore, as far as jobs of the command line need one.
type site struct {
	*plant
	mu      sync.Mutex
	blobs   map[string]string // by their names in the container
	written func(name string) // hears of each blob before it is kept
	put     map[string]string // bodies of resources, by path
}

func newSite(t *testing.T, more map[string]http.HandlerFunc) *site {
	s := &site{blobs: map[string]string{}, put: map[string]string{}}
	routes := map[string]http.HandlerFunc{
		"GET " + fakeWorkspace + "/datastores/workspaceblobstore": says(200, `{"properties":{"accountName":"acct","containerName":"box"}}`),
		"GET /acct/box": s.list,
	}
	maps.Copy(routes, more)
	s.plant = newPlant(t, routes)
	s.env["ALVARA_BLOB_ENDPOINT"] = s.URL
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, isBlob := strings.CutPrefix(r.URL.Path, "/acct/box/")
		isAsset := strings.HasPrefix(r.URL.Path, fakeWorkspace+"/") && s.routes[r.Method+" "+r.URL.Path] == nil
		if !isBlob && !isAsset {
			inner.ServeHTTP(w, r)
			return
		}
		s.plant.mu.Lock()
		s.seen = append(s.seen, exchange{Method: r.Method, Path: r.URL.Path})
		s.plant.mu.Unlock()
		if isBlob {
			s.blob(w, r, name)
		} else {
			s.resource(w, r)
		}
	})
	return s
}

func (s *site) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	type blob struct {
		Name string
		Size int `xml:"Properties>Content-Length"`
	}
	var out struct {
		XMLName xml.Name `xml:"EnumerationResults"`
		Blobs   []blob   `xml:"Blobs>Blob"`
	}
	for _, name := range slices.Sorted(maps.Keys(s.blobs)) {
		if strings.HasPrefix(name, r.URL.Query().Get("prefix")) {
			out.Blobs = append(out.Blobs, blob{name, len(s.blobs[name])})
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(out)
}

func (s *site) blob(w http.ResponseWriter, r *http.Request, name string) {
	if s.written != nil && r.Method == http.MethodPut {
		s.written(name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method {
	case http.MethodPut:
		text := make([]byte, r.ContentLength)
		if _, err := readFull(r, text); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.blobs[name] = string(text)
		w.WriteHeader(http.StatusCreated)
	case http.MethodDelete:
		delete(s.blobs, name)
		w.WriteHeader(http.StatusAccepted)
	}
}

// resource keeps what is put and gives it again.
func (s *site) resource(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPut {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body["id"], body["name"] = r.URL.Path, lastName(r.URL.Path)
		text, _ := json.Marshal(body) // of JSON
		s.put[r.URL.Path] = string(text)
	}
	text, there := s.put[r.URL.Path]
	if !there {
		w.WriteHeader(http.StatusNotFound)
		text = `{"error":{"code":"ResourceNotFound","message":"nothing there"}}`
	}
	fmt.Fprint(w, text)
}

// changes gives the requests that changed something since the last call.
func (s *site) changes() []string {
	var out []string
	for _, line := range lines(s.sent()) {
		if !strings.HasPrefix(line, "GET ") && !strings.HasPrefix(line, "HEAD ") {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// What a job's file names is uploaded and registered once, as whom is signed in; the job comes last.
func TestJobsBringTheirFilesOnce(t *testing.T) {
	s := newSite(t, nil)
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{
		"job.yml":      "command: python train.py\ncode: src\ncompute: cpu\nenvironment: {image: a:1}\ninputs:\n  data: {path: data.csv}\n  again: {path: data.csv}\n",
		"src/train.py": "print(1)", "src/lib/a.py": "a", "src/left.pyc": "x", "src/.amlignore": "*.pyc", "data.csv": "1,2",
	})
	line := "ml job create -w ws -g rg1 -f " + filepath.Join(dir, "job.yml") + " -n "
	s.ok(t, line+"first")
	code, err := openLocal("code", filepath.Join(dir, "src"), ignoredInCode)
	if err != nil {
		t.Fatal(err)
	}
	data, err := openLocal("data", filepath.Join(dir, "data.csv"), nil)
	if err != nil {
		t.Fatal(err)
	}
	folder := "LocalUpload/" + code.hash + "/code/"
	want := map[string]string{folder + "train.py": "print(1)", folder + "lib/a.py": "a", folder + ".amlignore": "*.pyc", "LocalUpload/" + data.hash + "/data.csv": "1,2"}
	if !maps.Equal(s.blobs, want) {
		t.Errorf("there are %v; want %v", s.blobs, want)
	}
	const uri = "azureml://subscriptions/sub1/resourcegroups/rg1/workspaces/ws/datastores/workspaceblobstore/paths/"
	version := fakeWorkspace + "/codes/" + code.hash + "/versions/1"
	if got := s.put[version]; !strings.Contains(got, `"codeUri":"`+uri+folder+`"`) || !strings.Contains(got, `"hash_sha256":"`+code.hash+`"`) {
		t.Errorf("the code is %s", got)
	}
	job := s.put[fakeWorkspace+"/jobs/first"]
	for _, part := range []string{`"codeId":"` + version + `"`, `"uri":"` + uri + "LocalUpload/" + data.hash + `/data.csv"`, `"jobInputType":"uri_file"`, `"computeId":"` + fakeWorkspace + `/computes/cpu"`,
		`"environmentId":"` + fakeWorkspace + "/environments/" + anonymousEnvironment + "/versions/"} {
		if !strings.Contains(job, part) {
			t.Errorf("the job lacks %s:\n%s", part, job)
		}
	}
	if got := s.changes(); len(got) != 4+1+1+1 || got[len(got)-1] != "PUT "+fakeWorkspace+"/jobs/first" {
		t.Errorf("sent: %q", got)
	}
	s.ok(t, line+"second")
	if got := s.changes(); !slices.Equal(got, []string{"PUT " + fakeWorkspace + "/jobs/second"}) {
		t.Errorf("the same again sent %q", got)
	}
	// What was lost is brought again, and nothing else.
	delete(s.blobs, folder+"lib/a.py")
	s.ok(t, line+"third")
	if got := s.changes(); !slices.Equal(got, []string{"PUT /acct/box/" + folder + "lib/a.py", "PUT " + fakeWorkspace + "/jobs/third"}) {
		t.Errorf("after a loss: %q", got)
	}
}

// A file that changes while it is uploaded would lie under the hash of another content: it is taken away, and no job is submitted.
func TestFilesThatChangeMeanwhile(t *testing.T) {
	s := newSite(t, nil)
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"job.yml": "command: a\ncode: src\n", "src/train.py": "print(1)"})
	s.written = func(string) { writeTree(t, dir, map[string]string{"src/train.py": "print(1, 2)"}) }
	code, _, stderr := s.run(t.Context(), "ml job create -n first -w ws -g rg1 -f "+filepath.Join(dir, "job.yml"))
	if code != ExitError || !strings.Contains(stderr, "changed while it was uploaded") {
		t.Errorf("%d, %s", code, stderr)
	}
	if len(s.blobs) != 0 || len(s.put) != 0 {
		t.Errorf("left are %v and %v", s.blobs, s.put)
	}
}

// A refusal of the storage is shown as it is, and nothing is submitted.
func TestUploadsThatAreRefused(t *testing.T) {
	s := newSite(t, map[string]http.HandlerFunc{"GET /acct/box": says(403, `<Error><Code>AuthorizationPermissionMismatch</Code><Message>It is granted by Storage Blob Data Contributor: alvara role assignment create --assignee me</Message></Error>`, "Content-Type", "application/xml")})
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"job.yml": "command: a\ncode: src\n", "src/train.py": "print(1)"})
	program, _, stderr := testProgram(s.env)
	program.Name = "az"
	code := program.Run(t.Context(), []string{"ml", "job", "create", "-w", "ws", "-g", "rg1", "-f", filepath.Join(dir, "job.yml")})
	if code != ExitError || !strings.Contains(stderr.String(), "AuthorizationPermissionMismatch") || !strings.Contains(stderr.String(), ": az role assignment create --assignee me") {
		t.Errorf("%d, %s", code, stderr)
	}
	if len(s.put) != 0 {
		t.Errorf("left are %v", s.put)
	}
}

// A log whose connection breaks again and again is shown whole and once; the exit code is that of the job.
func TestLogsGoOnWhereTheyBroke(t *testing.T) {
	text := strings.Repeat("a line of the log\n", 100)
	var mu sync.Mutex
	breaks, status := 3, "Running"
	job := fakeWorkspace + "/jobs/first"
	s := newSite(t, map[string]http.HandlerFunc{
		"GET " + job: func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(w, `{"id":%q,"name":"first","properties":{"jobType":"Command","status":%q,"error":{"code":"UserProcessFailed","message":"exit code 3"}}}`, job, status)
		},
		"GET " + job + "/logs": func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			var offset int
			if _, err := fmt.Sscan(r.URL.Query().Get("offset"), &offset); err != nil || offset > len(text) {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			rest := text[offset:]
			if r.URL.Query().Get("follow") != "true" {
				fmt.Fprint(w, rest)
				return
			}
			if breaks--; breaks >= 0 {
				fmt.Fprint(w, rest[:len(rest)/2])
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler) // the connection is cut in the midst of the body
			}
			status = "Failed"
			fmt.Fprint(w, rest)
		},
	})
	code, stdout, stderr := s.run(t.Context(), "ml job stream -n first -w ws -g rg1")
	if code != ExitError || stdout != text {
		t.Errorf("exit code %d, %d bytes of %d", code, len(stdout), len(text))
	}
	if !strings.Contains(stderr, "ended as Failed") || !strings.Contains(stderr, "(UserProcessFailed) the job first ended as Failed: exit code 3") {
		t.Error(stderr)
	}
	status = "Completed"
	if code, stdout, _ := s.run(t.Context(), "ml job stream -n first -w ws -g rg1"); code != ExitOK || stdout != text {
		t.Errorf("exit code %d, %d bytes", code, len(stdout))
	}
}

// A command that is stopped says that the job goes on, and cancels nothing.
func TestStreamsThatAreStopped(t *testing.T) {
	job := fakeWorkspace + "/jobs/first"
	ctx, stop := context.WithCancel(t.Context())
	s := newSite(t, map[string]http.HandlerFunc{
		"GET " + job: says(200, `{"name":"first","properties":{"status":"Running"}}`),
		"GET " + job + "/logs": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "a line")
			_ = http.NewResponseController(w).Flush()
			stop()
			<-r.Context().Done()
		},
	})
	code, _, stderr := s.run(ctx, "ml job stream -n first -w ws -g rg1")
	if code != 130 || !strings.Contains(stderr, "the job first goes on") || !strings.Contains(stderr, "alvara ml job cancel -n first -w ws -g rg1") {
		t.Errorf("%d, %s", code, stderr)
	}
	if got := s.changes(); len(got) != 0 {
		t.Errorf("sent: %q", got)
	}
}

// What a job is said to have left never leads out of the folder that it is downloaded to.
func TestDownloadsStayInTheirFolder(t *testing.T) {
	job := fakeWorkspace + "/jobs/first"
	s := newSite(t, map[string]http.HandlerFunc{
		"GET " + job:                        says(200, `{"name":"first","properties":{"status":"Completed"}}`),
		"GET " + job + "/artifacts":         says(200, `{"value":[{"path":"outputs/a.txt","size":1},{"path":"../evil","size":1},{"path":"/etc/evil","size":1}]}`),
		"GET " + job + "/artifacts/content": says(200, "content"),
		"GET " + job + "/logs": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "the log"[min(len("the log"), offsetOf(r)):])
		},
	})
	dir := t.TempDir()
	_, _, stderr := s.run(t.Context(), "ml job download -n first -w ws -g rg1 -p "+filepath.Join(dir, "out"))
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			relative, _ := filepath.Rel(dir, path)
			found = append(found, filepath.ToSlash(relative))
		}
		return err
	})
	if err != nil || !slices.Equal(found, []string{"out/artifacts/outputs/a.txt", "out/artifacts/user_logs/std_log.txt"}) {
		t.Errorf("there are %q, %v\n%s", found, err, stderr)
	}
	if !strings.Contains(stderr, `"../evil" is no name that a file can have here`) {
		t.Error(stderr)
	}
}

func offsetOf(r *http.Request) int {
	n := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("offset"), &n) // 0 when there is none
	return n
}
