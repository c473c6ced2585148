package machinelearning

import (
	"encoding/json"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/alvara-ml/alvara/resource"
)

// olderEnvironment is an environment in the words of the older SDK, beside those of EnvironmentVersion. It is read when a version is made and
// never kept: it says the same in another way.
type olderEnvironment struct {
	Python *struct {
		UserManagedDependencies *bool           `json:"userManagedDependencies"`
		CondaDependencies       json.RawMessage `json:"condaDependencies"`
	} `json:"python,omitempty"`
	Docker *struct {
		BaseImage         string `json:"baseImage"`
		BaseDockerfile    string `json:"baseDockerfile"`
		BaseImageRegistry *struct {
			Address          string            `json:"address"`
			Username         string            `json:"username"`
			Password         string            `json:"password"`
			RegistryIdentity *RegistryIdentity `json:"registryIdentity"`
		} `json:"baseImageRegistry"`
	} `json:"docker,omitempty"`
}

// usualConda is what is put on a base image of which nobody says that its dependencies are its own affair, and nobody names others.
const usualConda = "name: project_environment\ndependencies:\n- python\n"

// translate writes what is said in the older words into the newer ones.
func (p *EnvironmentVersion) translate() error {
	older := p.olderEnvironment
	p.olderEnvironment = olderEnvironment{}
	if d := older.Docker; d != nil {
		switch r := d.BaseImageRegistry; {
		case d.BaseDockerfile != "":
			return resource.Errorf(resource.Unsupported, "NotSupported", "properties.docker.baseDockerfile: a Dockerfile is read from a folder in storage; upload it, and name the folder with properties.build.contextUri").At("properties.docker.baseDockerfile")
		case d.BaseImage != "" && p.Image != "" && d.BaseImage != p.Image:
			return resource.Invalidf("InvalidEnvironment", "properties.docker.baseImage and properties.image name two images; leave one out").At("properties.docker.baseImage")
		case r != nil && (r.Username != "" || r.Password != ""):
			return resource.Errorf(resource.Unsupported, "NotSupported", "properties.docker.baseImageRegistry: images are pulled as identities and no password is kept; name one with registryIdentity").At("properties.docker.baseImageRegistry")
		case d.BaseImage != "":
			p.Image = d.BaseImage
		}
		if r := d.BaseImageRegistry; r != nil {
			if address := hostOf(r.Address); address != "" && p.Image != "" && !strings.HasPrefix(strings.ToLower(p.Image), address+"/") {
				p.Image = address + "/" + p.Image
			}
			if r.RegistryIdentity != nil {
				p.RegistryIdentity = r.RegistryIdentity
			}
		}
	}
	if older.Python == nil {
		return nil
	}
	if given := older.Python.UserManagedDependencies; given != nil {
		p.UserManagedDependencies = given
	}
	managed := p.UserManagedDependencies != nil && *p.UserManagedDependencies
	if conda := older.Python.CondaDependencies; !managed && len(conda) > 0 && string(conda) != "null" && p.CondaFile == "" {
		text, err := yaml.JSONToYAML(conda)
		if err != nil {
			return resource.Invalidf("InvalidCondaFile", "properties.python.condaDependencies: %v", err).At("properties.python.condaDependencies")
		}
		p.CondaFile = string(text)
	}
	return nil
}

// settleManaged makes what is said of who manages the dependencies agree with what the version consists of. True is an image as it is
// (MI-09); false has one built, also when no packages are named (MI-10). Nothing leaves it to what is named.
func (p *EnvironmentVersion) settleManaged() error {
	const field = "properties.userManagedDependencies"
	switch {
	case p.UserManagedDependencies == nil:
		return nil
	case *p.UserManagedDependencies && p.CondaFile != "":
		return resource.Invalidf("InvalidEnvironment", "%s is true, which uses the image as it is, and properties.condaFile has packages installed; leave one out", field).At(field)
	case *p.UserManagedDependencies && p.Build != nil:
		return resource.Invalidf("InvalidEnvironment", "%s is true, which uses an image as it is, and properties.build names a Dockerfile; build the image with alvara acr build and name it, or leave the field out", field).At(field)
	case !*p.UserManagedDependencies && p.CondaFile == "" && p.Build == nil:
		p.CondaFile = usualConda
	}
	return nil
}
