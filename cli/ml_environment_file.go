package cli

import (
	"os"
	"path/filepath"
	"regexp"

	"github.com/alvara-ml/alvara/cli/document"
)

var remote = regexp.MustCompile(`^[a-z]+://`)

// environmentFields are what an environment has in a file beside its name and version.
var environmentFields = []string{"image", "conda_file", "build", "description", "tags", "os_type", "inference_config", "registry_identity", "user_managed_dependencies"}

// environmentProperties is an environment on the wire. folder is where the paths in it begin.
func environmentProperties(where string, given *document.Object, folder string, assets assetsOf) (*document.Object, error) {
	properties := document.New().SetIf("image", given.Text("image")).SetIf("description", given.Text("description")).
		SetIf("osType", given.Text("os_type")).SetIf("tags", given.Object("tags"))
	switch managed := given.Get("user_managed_dependencies").(type) {
	case nil:
	case bool:
		properties.Set("userManagedDependencies", managed)
	default:
		return nil, usagef("%s: user_managed_dependencies is %v; true, for an image as it is, or false was expected", where, managed)
	}
	conda, err := condaOf(given, folder)
	if err != nil {
		return nil, err
	}
	properties.SetIf("condaFile", conda)
	if build := given.Object("build"); build != nil {
		context, err := buildOf(where, build, folder, assets)
		if err != nil {
			return nil, err
		}
		properties.SetIf("build", context)
	}
	if who := given.Object("registry_identity"); who != nil {
		if err := knownFields(where+": registry_identity", who, "resource_id", "client_id"); err != nil {
			return nil, err
		}
		properties.Set("registryIdentity", document.New("resourceId", who.Text("resource_id"), "clientId", who.Text("client_id")))
	}
	if inference := given.Object("inference_config"); inference != nil {
		routes := document.New()
		for _, name := range inference.Keys() {
			routes.Set(camel(name), inference.Get(name))
		}
		properties.Set("inferenceConfig", routes)
	}
	return properties, nil
}

// buildOf reads the folder of a Dockerfile. One of this machine is uploaded, without what its .dockerignore names.
func buildOf(where string, build *document.Object, folder string, assets assetsOf) (*document.Object, error) {
	if err := knownFields(where+": build", build, "path", "dockerfile_path"); err != nil {
		return nil, err
	}
	context, dockerfile := build.Text("path"), build.Text("dockerfile_path")
	switch {
	case context == "":
		return nil, usagef("%s: build has no path; the folder of the Dockerfile was expected", where)
	case localPath(context):
		if !filepath.IsAbs(context) {
			context = filepath.Join(folder, filepath.FromSlash(context))
		}
		if file := filepath.Join(context, filepath.FromSlash(first(dockerfile, "Dockerfile"))); exists(context) && !exists(file) {
			return nil, usagef("%s: there is no %s in %s; name it with dockerfile_path", where, first(dockerfile, "Dockerfile"), context)
		}
		var err error
		if context, err = assets.context(where+": build.path", context, first(dockerfile, "Dockerfile")); err != nil {
			return nil, err
		}
	}
	return document.New("contextUri", context).SetIf("dockerfilePath", dockerfile), nil
}

// condaOf gives the text of the conda file: a file beside the environment's, or what stands in it.
func condaOf(given *document.Object, folder string) (string, error) {
	if inline := given.Object("conda_file"); inline != nil {
		text, err := document.EncodeYAML(inline)
		return string(text), err
	}
	file := given.Text("conda_file")
	if file == "" {
		return "", nil
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(folder, filepath.FromSlash(file))
	}
	text, err := os.ReadFile(file)
	return string(text), err
}
