package cli

import (
	"net/http"
	"path/filepath"

	"github.com/alvara-ml/alvara/cli/document"
)

type jobValidate struct {
	File string   `short:"f" type:"existingfile" required:"" help:"job.yml: a command job or a pipeline."`
	Set  []string `sep:"none" placeholder:"PATH=VALUE" help:"Fields of the file to set, such as inputs.epochs=5 resources.instance_count=2."`
	inWorkspace
}

func (j *jobValidate) Run(c *Call) error {
	workspace, err := j.path(c)
	if err != nil {
		return err
	}
	given, err := (&jobCreate{File: j.File, Set: j.Set}).read()
	if err != nil {
		return err
	}
	file := jobFile{folder: filepath.Dir(j.File), assets: &checkedAssets{workspaceAssets{uploader: uploader{call: c, workspace: workspace}}}}
	if _, err := file.properties(given); err != nil {
		return err
	}
	return c.Print(document.New("result", "Passed"))
}

// checkedAssets looks at what a file names, on this machine and in the workspace, and changes nothing.
type checkedAssets struct{ workspaceAssets }

// opened is the URI that something of this machine would get.
func (k *checkedAssets) opened(what, path string, ignored func(string) (skipping, error)) (*localContent, string, error) {
	content, err := openLocal(what, path, ignored)
	if err != nil {
		return nil, "", err
	}
	return content, storeURI(k.workspace, uploadStore, uploadFolder+"/"+content.hash+"/"+content.name), nil
}

func (k *checkedAssets) code(what, folder string) (string, error) {
	content, _, err := k.opened(what, folder, ignoredInCode)
	if err != nil {
		return "", err
	}
	return k.register("codes", content.hash, "1", nil)
}

func (k *checkedAssets) local(what, path string) (string, bool, error) {
	content, uri, err := k.opened(what, path, ignoredInCode)
	if err != nil {
		return "", false, err
	}
	return uri, content.folder, nil
}

func (k *checkedAssets) context(what, folder, dockerfile string) (string, error) {
	_, uri, err := k.opened(what, folder, func(root string) (skipping, error) { return ignoredInBuilds(root, dockerfile) })
	return uri, err
}

func (k *checkedAssets) environment(what string, given any, folder string) (string, error) {
	return environmentID(what, given, folder, k)
}

func (k *checkedAssets) version(what, collection, text string) (string, error) {
	id, err := k.workspaceAssets.version(what, collection, text)
	if missing(err) {
		return "", &notFound{what + ": there is no " + text + " in the workspace"}
	}
	if err != nil {
		return "", err
	}
	return k.there(what, text, id)
}

func (k *checkedAssets) compute(what, name string) (string, error) {
	id, err := k.workspaceAssets.compute(what, name)
	if err != nil {
		return "", err
	}
	return k.there(what, name, id)
}

// register gives the id that a version would have.
func (k *checkedAssets) register(collection, name, version string, _ *document.Object) (string, error) {
	return k.workspace + "/" + collection + "/" + segment(name) + "/versions/" + segment(version), nil
}

// there asks whether the server has something, and tells it by the file's words.
func (k *checkedAssets) there(what, text, id string) (string, error) {
	return k.once("there "+id, func() (string, error) {
		_, err := k.call.arm(http.MethodGet, id, machineLearnAPI, nil)
		if missing(err) {
			return "", &notFound{what + ": there is no " + text + " in the workspace"}
		}
		return id, err
	})
}
