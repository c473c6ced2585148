package machinelearning_test

import (
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/alvara-ml/alvara/dataplane/inference"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/serving"
	"github.com/alvara-ml/alvara/serving/servingtest"
	"github.com/alvara-ml/alvara/workload"
)

// servingWorld is what keeps the deployments of a world running: a machine whose instances answer with their image.
type servingWorld struct {
	machine *servingtest.Launcher
	control *serving.Controller
	orders  *machinelearning.Orders
	tokens  *inference.Tokens
	catalog *machinelearning.EndpointCatalog
	level   string // of isolation
}

func (w *world) openServing() machinelearning.EndpointDeps {
	s := &w.serving
	s.machine = servingtest.NewLauncher(func(order workload.Order) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, order.Image) })
	})
	s.orders, s.level = &machinelearning.Orders{}, "sandbox"
	s.tokens = &inference.Tokens{Key: []byte("k"), Clock: time.Now}
	s.control = &serving.Controller{
		Launcher: s.machine, Orders: s.orders, Records: &servingtest.Records{}, Journal: &servingtest.Journal{}, Clock: time.Now, Log: slog.New(slog.DiscardHandler),
		Quick: time.Millisecond, Backoff: func(int) time.Duration { return time.Millisecond },
	}
	return machinelearning.EndpointDeps{
		Serving: s.control, EndpointURL: func(name string) string { return "https://inference/" + name + "/" }, IssueToken: s.tokens.Issue,
		ClusterPrincipal: w.directory.FindByClientID, Isolation: func() job.Isolation { return job.Isolation{Level: s.level} },
	}
}

func (w *world) startServing() error {
	s := &w.serving
	s.orders.Deps, s.orders.Manager = w.deps, w.manager
	var err error
	if s.catalog, err = machinelearning.OpenEndpointCatalog(w.store, w.deps); err != nil {
		return err
	}
	w.t.Cleanup(func() { _ = s.control.Close() })
	return s.control.Start(w.t.Context())
}

// The places of the things that tests of endpoints work with.
const (
	fraudAt  = ws + "/onlineEndpoints/fraud"
	blue     = fraudAt + "/deployments/blue"
	green    = fraudAt + "/deployments/green"
	clusters = group + "/providers/Microsoft.ContainerService/managedClusters/"
)

// withImage makes a workspace whose registry has an image, and an environment of it. The admin user is as it is said.
func (w *world) withImage(admin bool) {
	w.t.Helper()
	w.must("PUT", registries+"byo", object{"properties": object{"adminUserEnabled": admin}})
	w.must("PUT", ws, object{"properties": object{"containerRegistry": registries + "byo"}})
	w.images.push("byo", "serve:1", "a")
	w.images.push("byo", "serve:2", "b")
	for _, version := range []string{"1", "2"} {
		w.must("PUT", ws+"/environments/serve/versions/"+version, object{"properties": object{"image": hostName("byo") + "/serve:" + version, "inferenceConfig": object{
			"scoringRoute": object{"path": "/v1/score", "port": 8080}, "livenessRoute": object{"path": "/live", "port": 8080}, "readinessRoute": object{"path": "/ready", "port": 8080},
		}}})
	}
}

func deployment(kind, version string, more object) object {
	properties := object{"endpointComputeType": kind, "environmentId": "azureml:serve:" + version}
	for name, value := range more {
		properties[name] = value
	}
	return object{"location": "local", "sku": object{"name": "Default", "capacity": 1}, "properties": properties}
}

// settledAt waits for the end of the operation on a resource that answers at once, and shows the resource.
func (w *world) settledAt(path string) answer {
	w.t.Helper()
	for range 10000 {
		got := w.do("GET", path, nil)
		if state := got.text("properties.provisioningState"); state != "Creating" && state != "Updating" {
			return got
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Fatalf("%s is never settled", path)
	return answer{}
}

// eventually waits for what others do, however long they take.
func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("never: " + what)
		}
	}
}
