package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

// workspaceAssets brings files and names into what a workspace knows, as whom is signed in. What was asked for before is answered
// from memory.
type workspaceAssets struct {
	uploader
	done map[string]string
}

// once remembers the answers to questions that one file asks again and again.
func (w *workspaceAssets) once(question string, answer func() (string, error)) (string, error) {
	if found, ok := w.done[question]; ok {
		return found, nil
	}
	found, err := answer()
	if err != nil {
		return "", err
	}
	if w.done == nil {
		w.done = map[string]string{}
	}
	w.done[question] = found
	return found, nil
}

func (w *workspaceAssets) code(what, folder string) (string, error) {
	return w.once("code "+folder, func() (string, error) { return w.upload(what, folder) })
}

func (w *workspaceAssets) local(what, path string) (string, bool, error) {
	uri, err := w.once("local "+path, func() (string, error) {
		content, err := openLocal(what, path, ignoredInCode)
		if err != nil {
			return "", err
		}
		return w.put(content, content.name)
	})
	return uri, strings.HasSuffix(uri, "/"), err
}

func (w *workspaceAssets) context(what, folder, dockerfile string) (string, error) {
	return w.once("context "+folder+" "+dockerfile, func() (string, error) {
		content, err := openLocal(what, folder, func(root string) (skipping, error) { return ignoredInBuilds(root, dockerfile) })
		if err != nil {
			return "", err
		}
		return w.put(content, "context")
	})
}

func (w *workspaceAssets) compute(what, name string) (string, error) {
	given := name
	if name = strings.TrimPrefix(name, "azureml:"); strings.HasPrefix(name, "/") {
		return name, nil
	}
	if name == "local" || strings.ContainsAny(name, ":/@") {
		return "", usagef("%s is %q; azureml:NAME was expected, where NAME is a compute of the workspace: `alvara ml compute list` shows them", what, given)
	}
	return w.workspace + "/computes/" + segment(name), nil
}

// anonymousEnvironment is what inline environments are versions of, named for their content.
const anonymousEnvironment = "CliV2AnonymousEnvironment"

func (w *workspaceAssets) environment(what string, given any, folder string) (string, error) {
	return environmentID(what, given, folder, w)
}

// environmentID gives the id of a version of an environment, which an inline one is registered for.
func environmentID(what string, given any, folder string, assets assetsOf) (string, error) {
	switch v := given.(type) {
	case string:
		return assets.version(what, "environments", v)
	case *document.Object:
		if err := knownFields(what, v, environmentFields...); err != nil {
			return "", err
		}
		properties, err := environmentProperties(what, v, folder, assets)
		if err != nil {
			return "", err
		}
		text, err := properties.MarshalJSON()
		if err != nil {
			return "", err
		}
		sum := sha256.Sum256(text)
		return assets.register("environments", anonymousEnvironment, hex.EncodeToString(sum[:16]), properties.Set("isAnonymous", true))
	default:
		return "", usagef("%s is %v; azureml:NAME:VERSION, azureml:NAME@latest or a mapping with image, conda_file or build was expected", what, given)
	}
}

// version gives the id of a version of an asset: azureml:NAME:VERSION, azureml:NAME@latest or an id.
func (w *workspaceAssets) version(what, collection, text string) (string, error) {
	if id := strings.TrimPrefix(text, "azureml:"); strings.HasPrefix(id, "/") && !strings.HasPrefix(id, "//") {
		return id, nil
	}
	name, version, labelled, ok := assetNamed(text)
	if !ok {
		return "", usagef("%s is %q; azureml:NAME:VERSION or azureml:NAME@latest was expected", what, text)
	}
	path := w.workspace + "/" + collection + "/" + segment(name)
	if !labelled {
		return path + "/versions/" + segment(version), nil
	}
	return w.once("latest "+path, func() (string, error) {
		latest, err := w.call.latestVersion(path)
		return path + "/versions/" + segment(latest), err
	})
}

// assetNamed reads azureml:NAME:VERSION and azureml:NAME@latest.
func assetNamed(text string) (name, version string, labelled, ok bool) {
	rest, prefixed := strings.CutPrefix(text, "azureml:")
	if !prefixed || strings.Contains(rest, "/") {
		return "", "", false, false
	}
	if name, version, ok = strings.Cut(rest, ":"); ok {
		return name, version, false, name != "" && version != "" && !strings.Contains(version, ":")
	}
	name, version, ok = strings.Cut(rest, "@")
	return name, version, true, ok && name != "" && version == "latest"
}

// register writes a version of an asset, unless it is there.
func (w *workspaceAssets) register(collection, name, version string, properties *document.Object) (string, error) {
	id := w.workspace + "/" + collection + "/" + segment(name) + "/versions/" + segment(version)
	return w.once("registered "+id, func() (string, error) {
		_, err := w.call.arm(http.MethodGet, id, machineLearnAPI, nil)
		if missing(err) {
			_, err = w.call.armFinish(http.MethodPut, id, machineLearnAPI, document.New("properties", properties), "Registering "+name, false)
		}
		return id, err
	})
}
