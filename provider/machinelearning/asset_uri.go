package machinelearning

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/featurestore/spec"
	"github.com/alvara-ml/alvara/resource"
)

// checkAssetURI makes sure that a field has a URI that uriPlace reads, as far as that can be seen without looking anything up.
func checkAssetURI(field, text string) error {
	if text == "" {
		return resource.Invalidf("InvalidAsset", "%s is missing; the URI of a file or folder was expected", field).At(field)
	}
	if _, _, _, found := outputNamed(text); found {
		return nil
	}
	if _, err := parseURI(text); err != nil {
		return resource.Invalidf("InvalidAsset", "%s: %v", field, err).At(field)
	}
	return nil
}

// parseURI reads a URI that names one file or folder.
func parseURI(text string) (spec.Source, error) {
	source, err := spec.ParseSource(text)
	if err != nil {
		if e, ok := resource.AsError(err); ok {
			err = errors.New(strings.Replace(e.Message, "the source path", "the URI", 1))
		}
		return source, err
	}
	if strings.ContainsAny(source.Path, "*?[{") {
		return source, errors.New("the URI is a pattern; one file or one folder was expected")
	}
	return source, nil
}

// uriPlace gives the place that a URI names: that of a storage container, of a datastore of the workspace, or of a job's output.
// Errors: Invalid.
func uriPlace(ctx context.Context, call *arm.Call, workspace resource.ID, text string) (place, error) {
	if job, output, path, found := outputNamed(text); found {
		uri, err := outputURI(ctx, call, workspace, job, output)
		if err != nil {
			return place{}, err
		}
		text = strings.TrimSuffix(uri, "/") + "/" + path
	}
	source, err := parseURI(text)
	if err != nil {
		return place{}, resource.Invalidf("InvalidURI", "%q: %v", text, err)
	}
	at := place{Account: source.Account, Container: source.Container, Path: source.Path, Folder: source.Path == "" || strings.HasSuffix(text, "/")}
	if source.Datastore == "" {
		return at, nil
	}
	if !source.Workspace.IsRoot() && !source.Workspace.Equal(workspace) {
		return place{}, resource.Invalidf("DatastoreNotFound", "%q names a datastore of %s; only those of the workspace %s itself can be used, or the URL of the place", text, source.Workspace, workspace.Name())
	}
	store, err := datastorePlace(ctx, call, workspace, "'"+text+"'", source.Datastore)
	if err != nil {
		return place{}, err
	}
	at.Account, at.Container = store.Account, store.Container
	return at, nil
}

// datastorePlace gives the container of a datastore; who names it is for the refusal.
func datastorePlace(ctx context.Context, call *arm.Call, workspace resource.ID, who, name string) (place, error) {
	doc, err := call.Manager.Store.Get(ctx, workspace.Child("datastores", name).Key())
	if resource.KindOf(err) == resource.NotFound {
		return place{}, resource.Invalidf("DatastoreNotFound", "%s names the datastore %q, which the workspace %s does not have", who, name, workspace.Name())
	}
	if err != nil {
		return place{}, err
	}
	var datastore arm.Resource[Datastore]
	if err := json.Unmarshal(doc.Body, &datastore); err != nil {
		return place{}, err
	}
	return place{Account: datastore.Properties.AccountName, Container: datastore.Properties.ContainerName, Folder: true}, nil
}

// artifacts is the output that every job has: the files of its folder outputs.
const artifacts = "artifacts"

// outputNamed reads the URI of a job's output: azureml://jobs/JOB/outputs/NAME, with /paths/PATH for a part of it, or
// runs:/JOB/PATH for a part of its artifacts.
func outputNamed(text string) (job, output, path string, found bool) {
	if rest, found := cutFold(text, "runs:/"); found {
		job, path, _ = strings.Cut(rest, "/")
		return job, artifacts, path, job != ""
	}
	rest, found := cutFold(text, "azureml://jobs/")
	parts := strings.SplitN(rest, "/", 5)
	if !found || len(parts) < 3 || parts[0] == "" || !strings.EqualFold(parts[1], "outputs") || parts[2] == "" {
		return "", "", "", false
	}
	if len(parts) > 3 && !strings.EqualFold(parts[3], "paths") && parts[3] != "" {
		return "", "", "", false
	}
	if len(parts) == 5 {
		path = parts[4]
	}
	return parts[0], parts[2], path, true
}

// jobOfURI names the job whose output a URI is.
func jobOfURI(text string) (string, bool) {
	job, _, _, found := outputNamed(text)
	return job, found
}

// outputURI gives the place of a job's output, which is read as the caller.
func outputURI(ctx context.Context, call *arm.Call, workspace resource.ID, job, output string) (string, error) {
	shown, err := call.Manager.Do(ctx, call, call.Who, "GET", workspace.Child("jobs", job).String(), nil)
	if err != nil {
		return "", err
	}
	if strings.EqualFold(output, artifacts) {
		return artifactsURI(job), nil
	}
	properties, _ := shown["properties"].(map[string]any)
	outputs, _ := properties["outputs"].(map[string]any)
	given, found := outputs[output].(map[string]any)
	if !found {
		return "", resource.Invalidf("OutputNotFound", "The job %s has no output %q.", job, output)
	}
	uri, _ := given["uri"].(string)
	return outputPlace(uri, job, output), nil
}

// artifactsURI is where what a job leaves in its folder outputs is kept.
func artifactsURI(job string) string {
	return "azureml://datastores/" + artifactStore + "/paths/ExperimentRun/dcid." + job + "/"
}

// outputPlace is the URI that an output of a job is written to: the one that was given, with ${{name}} and
// ${{default_datastore}} in it, or else a folder of the job's own.
func outputPlace(uri, job, output string) string {
	if uri == "" {
		uri = "azureml://datastores/${{default_datastore}}/paths/azureml/${{name}}/" + output + "/"
	}
	return strings.NewReplacer("${{name}}", job, "${{default_datastore}}", blobStore).Replace(uri)
}
