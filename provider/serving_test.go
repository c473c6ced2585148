package provider_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/serving"
	"github.com/alvara-ml/alvara/serving/servingtest"
	"github.com/alvara-ml/alvara/workload"
)

// served completes what the machine learning provider works with by a machine whose instances answer. The result needs the manager.
func (w *world) served(deps *machinelearning.Deps) *machinelearning.Orders {
	machine := servingtest.NewLauncher(func(workload.Order) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	})
	orders := &machinelearning.Orders{}
	control := &serving.Controller{
		Launcher: machine, Orders: orders, Records: &servingtest.Records{}, Journal: &servingtest.Journal{}, Clock: time.Now, Log: slog.New(slog.DiscardHandler), Quick: time.Millisecond,
	}
	if err := control.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = control.Close() })
	deps.Registries = elsewhere{}
	deps.EndpointDeps = machinelearning.EndpointDeps{
		Serving: control, EndpointURL: func(name string) string { return "https://inference/" + name + "/" }, ClusterPrincipal: w.directory.FindByClientID, Isolation: machine.Isolation,
		IssueToken: func(resource.ID, string) (string, time.Time) { return "token", time.Now().Add(time.Hour) },
	}
	orders.Deps = *deps
	return orders
}

// elsewhere is a world in which all images are in registries elsewhere.
type elsewhere struct{}

func (elsewhere) Hosts() map[string]resource.ID { return nil }

func (elsewhere) Digest(context.Context, identity.Principal, resource.ID, string, string) (string, error) {
	return "", resource.NotFoundf("MANIFEST_UNKNOWN", "there is none")
}

func (elsewhere) Upload(context.Context, string, io.Reader, int64) error { return nil }

// mlw is a workspace of the kind Default.
const mlw = group + "/providers/Microsoft.MachineLearningServices/workspaces/mlw"
