package acceptance

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/test/testenv"
)

// TestCrashOfBuilds kills the server, and with it the workers and the commands in their sandboxes, at random moments of builds. Every
// run that was acknowledged comes to its end: its image can be pulled, or it says why there is none; one that is canceled after the
// restart ends as canceled; and every log can be followed to its end.
func TestCrashOfBuilds(t *testing.T) {
	needSandbox(t)
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	dir := testenv.Folder(t)
	w := &buildWorld{registryWorld: &registryWorld{}}
	images := map[string]string{} // by the runs' ids
	canceled := map[string]bool{}
	cut := 0
	for round := range rounds {
		child := testenv.StartChild(t, dir)
		w.env, w.admin = child.Env, child.Env.Admin()
		if round == 0 {
			w.prepare(t)
		}
		for run, asked := range canceled {
			if asked {
				continue
			}
			if got := w.admin.Do("POST", run+"/cancel", nil); got.Status != 200 && got.Status != 202 {
				t.Errorf("round %d: cancel of %s after a crash: %d %s", round, run, got.Status, got.Raw)
			}
			canceled[run] = true
			if got := runEnded(t, w.admin, run); got.Text("properties.status") != "Canceled" {
				t.Errorf("round %d: %s was canceled: %s", round, run, got.Raw)
			}
		}
		if round%3 == 2 { // nothing is begun without end, see maxStarts of the provider
			for run := range images {
				runEnded(t, w.admin, run)
			}
		}
		for i := range 2 {
			dockerfile := fmt.Sprintf("FROM @base\nCOPY file /file\nRUN write /made %d.%d\nRUN write /more %d", round, i, i)
			image := fmt.Sprintf("app:r%dn%d", round, i)
			if round%3 == 1 && i == 1 {
				dockerfile, image = "FROM @base\nRUN sleep 60", fmt.Sprintf("app:slow%d", round)
			}
			got := w.schedule(t, dockerfile, image, map[string]any{"credentials": map[string]any{}, "noCache": round%2 == 0})
			if got.Status != 200 {
				t.Fatalf("round %d: %d %s", round, got.Status, got.Raw)
			}
			if strings.Contains(image, "slow") {
				canceled[got.Text("id")] = false
			} else {
				images[got.Text("id")] = image
			}
		}
		time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
		for run := range images {
			if got, err := w.admin.Try("GET", run, nil); err == nil && (got.Text("properties.status") == "Running" || got.Text("properties.status") == "Started") {
				cut++
			}
		}
		child.Kill()
	}
	child := testenv.StartChild(t, dir)
	w.env, w.admin = child.Env, child.Env.Admin()
	succeeded := 0
	for run, image := range images {
		switch got := runEnded(t, w.admin, run); got.Text("properties.status") {
		case "Succeeded":
			succeeded++
			w.image(t, w.loginServer+"/"+image, w.admin)
			if text, outcome := runLog(t, w.env, w.admin, run); outcome != "successful" || !strings.Contains(text, "attempt ") {
				t.Errorf("%s succeeded and its log ends as %q:\n%s", run, outcome, text)
			}
		case "Failed", "Error":
			if got.Text("properties.runErrorMessage") == "" {
				t.Errorf("%s failed without a reason: %s", run, got.Raw)
			}
			t.Errorf("nothing is wrong with %s but that the server was killed: %s", run, got.Raw)
		default:
			t.Errorf("%s: %s", run, got.Raw)
		}
	}
	for run, asked := range canceled {
		if !asked {
			w.admin.Do("POST", run+"/cancel", nil)
			runEnded(t, w.admin, run)
		}
		if _, outcome := runLog(t, w.env, w.admin, run); outcome != "canceled" {
			t.Errorf("%s was canceled and its log ends as %q", run, outcome)
		}
	}
	w.wholeTags(t)
	t.Logf("%d rounds, %d runs, cut off %d times", rounds, len(images)+len(canceled), cut)
	if cut == 0 || succeeded == 0 {
		t.Error("no run was cut off and succeeded: the test shows nothing")
	}
}

// prepare makes the registry, its identity's rights and the base image.
func (w *buildWorld) prepare(t *testing.T) {
	t.Helper()
	mustDo(t, w.admin, "PUT", w.env.Group("images"), map[string]any{"location": "local"})
	w.id = w.env.Group("images") + registryType + "builds"
	got := mustDo(t, w.admin, "PUT", w.id, map[string]any{"location": "local", "sku": map[string]any{"name": "Premium"}, "identity": map[string]any{"type": "SystemAssigned"}})
	w.loginServer, w.system = got.Text("properties.loginServer"), got.Text("identity.principalId")
	w.admin.Grant(w.system, access.RoleAcrPush, w.id)
	w.base = w.loginServer + "/base/shell:1"
	pushBase(t, w.base, w.admin.Remote(w.loginServer))
}

// wholeTags pulls everything that the registry lists.
func (w *buildWorld) wholeTags(t *testing.T) {
	t.Helper()
	options := w.admin.Remote(w.loginServer)
	server, err := name.NewRegistry(w.loginServer)
	if err != nil {
		t.Fatal(err)
	}
	repositories, err := remote.Catalog(t.Context(), server, options...)
	if err != nil || len(repositories) != 2 {
		t.Errorf("the catalog has %v, %v", repositories, err)
	}
	for _, repository := range repositories {
		ref := server.Repo(repository)
		tags, err := remote.List(ref, options...)
		if err != nil {
			t.Error(err)
		}
		for _, tag := range tags {
			image, err := remote.Image(ref.Tag(tag), options...)
			if err == nil {
				err = validate.Image(image)
			}
			if err != nil || strings.HasPrefix(tag, "slow") {
				t.Errorf("%s:%s is listed: %v", repository, tag, err)
			}
		}
	}
}
