package quickstart

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/alvara-ml/alvara/examples/fraud"
	"github.com/alvara-ml/alvara/examples/model"
)

// The names of what the workspace act makes.
const (
	trainingGroup    = "training"
	trainingRegistry = "fraudtraining"
	workspace        = "fraud-training"
	cluster          = "train"
	endpoint         = "fraud-score"
	toolImage        = "fraud/tool:1"
)

// workspace is the third act: a training job and an endpoint that pull their image without a password, and read features as
// the identities that they run as.
func (t *tour) workspace() error {
	if runtime.GOOS != "linux" {
		t.say("\nJobs in images need Linux; the workspace's act is left out on %s.", runtime.GOOS)
		return nil
	}
	if t.Act == "workspace" { // what the first act leaves behind
		for _, chapter := range []func() error{t.prepare, t.source, t.makeStore, t.people, t.develop, t.backfill} {
			if err := chapter(); err != nil {
				return err
			}
		}
	}
	a := &workspaceAct{tour: t}
	for _, chapter := range []func() error{a.makeWorkspace, a.bringRegistry, a.refusedPull, a.train, a.serve} {
		if err := chapter(); err != nil {
			return err
		}
	}
	return nil
}

type workspaceAct struct {
	*tour
	registry    string // resource id
	loginServer string
	storage     string // resource id of the workspace's storage account
	principal   string // of the cluster
}

func (a *workspaceAct) files(name string) string { return a.folder("model", name) }

// in are the flags that name the workspace.
func in(args ...string) []string { return append(args, "-w", workspace, "-g", trainingGroup) }

func (a *workspaceAct) makeWorkspace() error {
	a.title("A workspace that has no registry yet, and a cluster with an identity of its own")
	a.as("admin")
	if _, err := a.run("login", "--local", "--data", a.Dir); err != nil {
		return err
	}
	if _, err := a.run("group", "create", "-n", trainingGroup, "-l", "local"); err != nil {
		return err
	}
	if _, err := a.run("ml", "workspace", "create", "-w", workspace, "-g", trainingGroup, "-l", "local"); err != nil {
		return err
	}
	if _, err := a.run(in("ml", "compute", "create", "-n", cluster, "--type", "AmlCompute", "--min-instances", "0", "--max-instances", "2", "--identity-type", "SystemAssigned")...); err != nil {
		return err
	}
	var err error
	if a.principal, err = a.field("identity.principal_id", in("ml", "compute", "show", "-n", cluster)...); err != nil {
		return err
	}
	if a.storage, err = a.field("storage_account", "ml", "workspace", "show", "-w", workspace, "-g", trainingGroup); err != nil {
		return err
	}
	me, err := a.field("id", "ad", "signed-in-user", "show")
	if err != nil {
		return err
	}
	a.say("  The code of jobs is uploaded as whoever submits them, who needs a role for data:")
	_, err = a.run("role", "assignment", "create", "--assignee", me, "--role", "Storage Blob Data Contributor", "--scope", a.storage)
	return err
}

// bringRegistry makes a registry without an admin user, has an identity build the image there, and gives it to the workspace.
func (a *workspaceAct) bringRegistry() error {
	a.title("Bring your own registry, with its admin user off, and an image that an identity builds")
	if err := model.Context(a.folder("model", "image")); err != nil {
		return err
	}
	if _, err := a.run("acr", "create", "-n", trainingRegistry, "-g", trainingGroup, "--sku", "Standard"); err != nil {
		return err
	}
	var err error
	if a.registry, err = a.field("id", "acr", "show", "-n", trainingRegistry); err != nil {
		return err
	}
	if a.loginServer, err = a.field("loginServer", "acr", "show", "-n", trainingRegistry); err != nil {
		return err
	}
	if _, err := a.run("identity", "create", "-n", "tool-builder", "-g", trainingGroup); err != nil {
		return err
	}
	var builder struct{ ID, PrincipalID string }
	if err := a.quietly(&builder, "identity", "show", "-n", "tool-builder", "-g", trainingGroup); err != nil {
		return err
	}
	if _, err := a.run("role", "assignment", "create", "--assignee", builder.PrincipalID, "--role", "AcrPush", "--scope", a.registry); err != nil {
		return err
	}
	if _, err := a.run("acr", "build", "-r", trainingRegistry, "-t", toolImage, "--identity", builder.ID, a.folder("model", "image"), "-o", "none"); err != nil {
		return err
	}
	if _, err := a.run("ml", "workspace", "update", "-w", workspace, "-g", trainingGroup, "--container-registry", a.registry); err != nil {
		return err
	}
	if err := a.show("ml", "workspace", "show", "-w", workspace, "-g", trainingGroup, "--query", "{containerRegistry: containerRegistry, identityPrincipalId: identityPrincipalId}", "-o", "yaml"); err != nil {
		return err
	}
	if err := model.Copy(a.folder("model"), map[string]string{"IMAGE": a.loginServer + "/" + toolImage, fraud.SourcePlaceholder: account, "ENDPOINT": endpoint}); err != nil {
		return err
	}
	_, err = a.run(in("ml", "environment", "create", "-f", a.files("environment.yaml"))...)
	return err
}

// refusedPull submits the training job before the cluster may pull: it is older than the workspace's registry.
func (a *workspaceAct) refusedPull() error {
	a.title("The cluster is older than the registry, so nothing granted it AcrPull: its pull is refused, and doctor says so")
	if err := a.readFeatures(a.principal); err != nil {
		return err
	}
	source, err := a.field("id", "storage", "account", "show", "-n", account, "-g", group)
	if err != nil {
		return err
	}
	for _, grant := range [][2]string{{"Storage Blob Data Reader", source}, {"Storage Blob Data Contributor", a.storage}} {
		if _, err := a.run("role", "assignment", "create", "--assignee", a.principal, "--role", grant[0], "--scope", grant[1]); err != nil {
			return err
		}
	}
	observations := []string{"storage", "blob", "upload", "--account-name", account, "-c", container, "-n", fraud.Observations, "-f", a.folder("data", fraud.Observations), "--overwrite"}
	if _, err := a.run(observations...); err != nil {
		return err
	}
	if _, err := a.run("features", "retrieval-spec", "--feature-store", store, "-g", group, "--features", "transactions:1:transaction_3d_count", "transactions:1:transaction_amount_3d_avg",
		"accounts:1:accountAge", "accounts:1:numPaymentRejects1dPerUser", "--out", a.files("src/feature_retrieval_spec.yaml"), "-o", "none"); err != nil {
		return err
	}
	grant := []string{"--assignee", a.principal, "--role", "acrpull", "--scope", a.registry}
	if held, err := a.field("length(@)", append([]string{"role", "assignment", "list"}, grant...)...); err != nil {
		return err
	} else if held != "0" { // shown before: take it away to show it again
		if _, err := a.run(append([]string{"role", "assignment", "delete", "--yes"}, grant...)...); err != nil {
			return err
		}
	}
	if err := a.refused(in("ml", "job", "create", "-f", a.files("job.yaml"), "--stream")...); err != nil {
		return err
	}
	if err := a.found("doctor", "-w", workspace, "-g", trainingGroup); err != nil {
		return err
	}
	a.say("One role assignment cures it at once:")
	_, err = a.run(append([]string{"role", "assignment", "create"}, grant...)...)
	return err
}

// endServing removes the endpoint, because its instances would go on without the server; also when the tour is interrupted.
func (t *tour) endServing() error {
	if !t.serving {
		return nil
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), time.Minute)
	defer cancel()
	t.ctx = ending
	t.as("admin")
	t.say("\nJobs and deployments go on without a server. The tour takes its endpoint away before it stops the server:")
	_, err := t.run(in("ml", "online-endpoint", "delete", "-n", endpoint, "--yes")...)
	return err
}

// found runs a command that must find something and say so with its exit code, and shows what.
func (a *workspaceAct) found(args ...string) error {
	code, stdout, _ := a.command(args)
	if code == 0 {
		return fmt.Errorf("%w: %q should have found something", errStep, "alvara "+quote(args))
	}
	a.say("%s", indent(wrap(string(stdout), 118)))
	return nil
}

// readFeatures lets an identity read the feature store's values, offline and online.
func (a *workspaceAct) readFeatures(principal string) error {
	var fs struct {
		ID      string
		Offline struct{ Target string } `json:"offline_store"`
	}
	if err := a.quietly(&fs, "ml", "feature-store", "show", "-n", store, "-g", group); err != nil {
		return err
	}
	for _, grant := range [][2]string{{"Feature set consumer", fs.ID}, {"Storage Blob Data Reader", fs.Offline.Target}} {
		if _, err := a.run("role", "assignment", "create", "--assignee", principal, "--role", grant[0], "--scope", grant[1]); err != nil {
			return err
		}
	}
	return nil
}

// train runs the job, and keeps its model.
func (a *workspaceAct) train() error {
	a.title("The training job runs as the cluster's identity: it pulls its image, and retrieves its training set, with no password anywhere")
	var job struct{ Name, Status string }
	code, out, log := a.command(in("ml", "job", "create", "-f", a.files("job.yaml"), "--stream"))
	a.say("%s", indent(wrap(log, 118)))
	if code != 0 {
		return fmt.Errorf("%w: the job ended with exit code %d", errStep, code)
	}
	if err := json.Unmarshal(out, &job); err != nil {
		return err
	}
	if err := a.show(in("ml", "job", "show", "-n", job.Name, "--query", "{name: name, status: status, identity: identity, isolation: properties.\"alvara.isolation\"}", "-o", "yaml")...); err != nil {
		return err
	}
	a.say("Its model is kept with the specification of the features that it was trained on:")
	return a.show(in("ml", "model", "create", "-n", "fraud", "-v", job.Name, "--type", "custom_model", "--path", "azureml://jobs/"+job.Name+"/outputs/model", "-o", "yaml")...)
}

// serve deploys the model.
func (a *workspaceAct) serve() error {
	a.title("An endpoint serves the model, and looks features up online as an identity of its own")
	if _, err := a.run(in("ml", "online-endpoint", "create", "-f", a.files("endpoint.yaml"))...); err != nil {
		return err
	}
	principal, err := a.field("identity.principal_id", in("ml", "online-endpoint", "show", "-n", endpoint)...)
	if err != nil {
		return err
	}
	if err := a.readFeatures(principal); err != nil {
		return err
	}
	a.serving = true
	if _, err := a.run(in("ml", "online-deployment", "create", "-f", a.files("deployment.yaml"), "--all-traffic")...); err != nil {
		return err
	}
	request := a.files("request.json")
	if err := os.WriteFile(request, []byte(`{"accountID": ["A1", "A2", "A3"]}`), 0o644); err != nil {
		return err
	}
	invoke := in("ml", "online-endpoint", "invoke", "-n", endpoint, "--request-file", request)
	if err := a.show(invoke...); err != nil {
		return err
	}
	stranger, err := a.field("[0].appId", "ad", "sp", "list", "--display-name", "quickstart-stranger")
	if err != nil {
		return err
	}
	scope, err := a.field("id", in("ml", "online-endpoint", "show", "-n", endpoint)...)
	if err != nil {
		return err
	}
	if _, err := a.run("role", "assignment", "create", "--assignee", stranger, "--role", "Reader", "--scope", scope); err != nil {
		return err
	}
	a.say("Who may only see the endpoint gets no score of it:")
	a.as("stranger")
	defer a.as("admin")
	return a.refused(invoke...)
}
