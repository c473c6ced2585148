package launch_test

import (
	"os"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/job/local"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// MI-05, MI-06: without AcrPull the pull is refused, with who, where and the cure; once granted it succeeds at once, and taken away it is
// refused although the layers lie here.
func TestPull(t *testing.T) {
	w := newWorld(t, local.Sandbox)
	for _, granted := range []string{"", "pull", ""} {
		w.registry.grant(w.ann.ID, granted)
		order := w.order("say hello")
		if granted != "" {
			if _, status, said := w.run(order); status.State != job.Completed || said != "hello\n" {
				t.Errorf("%+v %q", status, said)
			}
			continue
		}
		_, err := w.launcher.Launch(t.Context(), order, nil)
		isKind(t, err, resource.Forbidden, w.ann.ID, "AcrPull", "app", "alvara role assignment create --assignee "+w.ann.ID+" --role AcrPull --scope "+registryID.String())
	}
	order := w.order("say hello")
	order.Puller = workload.Puller{}
	_, err := w.launcher.Launch(t.Context(), order, nil)
	isKind(t, err, resource.Forbidden, "AcrPull", "the run")
	order.Puller, order.Image = workload.Puller{Who: w.ben}, strings.Replace(w.image, ":1", ":2", 1)
	_, err = w.launcher.Launch(t.Context(), order, nil)
	isKind(t, err, resource.NotFound, ":2")
	for _, bad := range []string{"", "UPPER/Case"} {
		order.Image = bad
		_, err = w.launcher.Launch(t.Context(), order, nil)
		isKind(t, err, resource.Invalid, "image")
	}
}

// MI-04: a registry's admin user pulls where there is no identity.
func TestPullWithPassword(t *testing.T) {
	w := newWorld(t, local.Sandbox)
	w.registry.grant("basic", "yes")
	order := w.order("say hello")
	order.Puller = workload.Puller{Username: "admin", Password: "pass"}
	if _, status, said := w.run(order); status.State != job.Completed || said != "hello\n" {
		t.Errorf("%+v %q", status, said)
	}
	order = w.order("say hello")
	order.Puller = workload.Puller{Username: "admin", Password: "wrong"}
	_, err := w.launcher.Launch(t.Context(), order, nil)
	isKind(t, err, resource.Forbidden, "admin")
}

// The image's configuration says what is run, where, as whom and with which variables, as far as the order does not.
func TestImageConfiguration(t *testing.T) {
	w := newWorld(t, local.Sandbox)
	order := w.order()
	order.Command = nil
	if _, status, said := w.run(order); status.State != job.Completed || said != "of the image\n" {
		t.Errorf("%+v %q", status, said)
	}
	if os.Geteuid() != 0 {
		return // there is one user inside
	}
	order = w.order()
	order.Image = w.push("other:1", &v1.Config{Env: []string{"PATH=/bin", "OF=image", "SSL_CERT_FILE=image"}, Entrypoint: []string{
		"probe", "id", "+", "env", "+", "pwd", "+", "write", "/alvara/code/outputs/x", "x", "+", "write", "/alvara/outputs/new/x", "x", "+", "write", "/alvara/run/metrics.jsonl", "{}",
	}, User: "1234", WorkingDir: "/srv"})
	order.Command = nil
	run, status, said := w.run(order)
	if status.State != job.Completed {
		t.Fatalf("%+v %s", status, said)
	}
	for _, want := range []string{"id 1234\n", "\nOF=image\n", "\nSSL_CERT_FILE=/alvara/ca.pem\n", "\n/srv\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("the run does not say %q: %s", want, said)
		}
	}
	if artifacts, err := run.Artifacts(); err != nil || len(artifacts) != 1 {
		t.Errorf("%v %v", artifacts, err)
	}
	empty := w.order()
	empty.Command, empty.Image = nil, w.push("empty:1", &v1.Config{})
	_, err := w.launcher.Launch(t.Context(), empty, nil)
	isKind(t, err, resource.Invalid, "neither an entrypoint nor a command")
}

// Layers are not evicted while a run needs them, whoever has launched it; afterwards they are.
func TestLayersAreHeld(t *testing.T) {
	w := newWorld(t, local.Sandbox)
	run := w.launch(w.order("sleep"))
	w.until(run, "sleeping")
	w.must(w.launcher.Close())
	w.launcher = w.open()
	future := time.Now().Add(time.Hour)
	if n, err := w.launcher.Layers.Evict(future, 0); n != 0 || err != nil {
		t.Errorf("%d layers of a run were evicted (%v)", n, err)
	}
	w.must(run.Cancel(t.Context()))
	if _, err := run.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if n, err := w.launcher.Layers.Evict(future, 0); n != 1 || err != nil {
		t.Errorf("%d layers of no run were evicted (%v)", n, err)
	}
}

// Images elsewhere are pulled as nobody: tokens of identities do not go there.
func TestForeignRegistry(t *testing.T) {
	w := newWorld(t, local.Sandbox)
	foreign := newPlane(t)
	w.launcher.Registries.Transport = foreign.Client().Transport
	order := w.order("say x")
	order.Image, order.Puller = foreign.host+"/app:1", workload.Puller{Who: identity.Principal{ID: "object-id"}}
	_, err := w.launcher.Launch(t.Context(), order, nil)
	isKind(t, err, resource.Forbidden, foreign.host, "--trust-registry")
}
