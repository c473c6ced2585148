package cli

import (
	"net/http"
	"strings"
)

type acrRepositoryDelete struct {
	imageFlags
	confirmFlags
}

func (a *acrRepositoryDelete) Run(c *Call) error {
	plane, named, err := a.image(c)
	if err != nil {
		return err
	}
	if a.Repository == "" {
		return plane.deleteManifest(named, a.confirmFlags)
	}
	if err := a.confirm(c, "delete the repository "+named.repository+" with all its images"); err != nil {
		return err
	}
	deleted, err := plane.object(http.MethodDelete, named.attributes(), nil)
	if err != nil {
		return err
	}
	return c.Print(deleted)
}

// deleteManifest deletes the manifest that a tag or a digest names, with every tag that it has.
func (p *registryPlane) deleteManifest(named image, ask confirmFlags) error {
	if named.digest == "" {
		found, err := p.object(http.MethodGet, named.attributes(), nil)
		if err != nil {
			return err
		}
		named = image{repository: named.repository, digest: named.part(found).Text("digest")}
		if !digestName.MatchString(named.digest) {
			return &notFound{"the registry names no manifest for this tag"}
		}
	}
	if !ask.Yes {
		found, err := p.object(http.MethodGet, named.attributes(), nil)
		if err != nil {
			return err
		}
		what := "delete the manifest " + named.repository + "@" + named.digest
		var tags []string
		for _, tag := range named.part(found).List("tags") {
			if text, ok := tag.(string); ok {
				tags = append(tags, named.repository+":"+text)
			}
		}
		if len(tags) > 0 {
			what += " and with it " + strings.Join(tags, ", ")
		}
		if err := ask.confirm(p.call, what); err != nil {
			return err
		}
	}
	_, err := p.do(http.MethodDelete, "/v2/"+named.repository+"/manifests/"+named.digest, nil, nil, nil)
	return err
}

type acrRepositoryUntag struct {
	planeFlags
	Image string `short:"t" required:"" placeholder:"NAME" help:"The tag, as NAME:TAG; NAME alone is its tag latest."`
}

func (a *acrRepositoryUntag) Run(c *Call) error {
	plane, err := a.plane(c)
	if err != nil {
		return err
	}
	named, err := parseImage("--image", a.Image, plane.server)
	if err != nil {
		return err
	}
	if named.digest != "" {
		return usagef("--image: %q is a manifest; name the tag that is to go, as NAME:TAG", a.Image)
	}
	named.tag = first(named.tag, "latest")
	_, err = plane.do(http.MethodDelete, named.attributes(), nil, nil, nil)
	return err
}

type acrManifestGroup struct {
	ListMetadata acrManifestList   `cmd:"" name:"list-metadata" help:"List the manifests of a repository." example:"alvara acr manifest list-metadata -r fraudacr -n scorer --orderby time_desc"`
	ShowMetadata acrManifestShow   `cmd:"" name:"show-metadata" help:"Show a manifest with its locks." example:"alvara acr manifest show-metadata -r fraudacr -n scorer:1"`
	Delete       acrManifestDelete `cmd:"" help:"Delete a manifest with all its tags." example:"alvara acr manifest delete -r fraudacr -n scorer:1 --yes"`
}

// manifestFlags name a repository or an image with -n, and its registry with -r, as az does for manifests.
type manifestFlags struct {
	Registry      string `short:"r" required:"" help:"Name of the registry."`
	ResourceGroup string `short:"g" name:"resource-group" help:"Resource group; without it the registry is looked for."`
	Name          string `short:"n" required:"" help:"Repository, or image in it: NAME, NAME:TAG or NAME@sha256:…"`
	Username      string `short:"u" help:"Name of the admin user, where that is turned on; without it whom is signed in."`
	Password      string `short:"p" help:"Password of the admin user; '-' reads it from stdin."`
}

func (f *manifestFlags) plane(c *Call) (*registryPlane, image, error) {
	flags := planeFlags{registryName: registryName{Name: f.Registry, ResourceGroup: f.ResourceGroup}, Username: f.Username, Password: f.Password}
	plane, err := flags.plane(c)
	if err != nil {
		return nil, image{}, err
	}
	named, err := parseImage("--name", f.Name, plane.server)
	return plane, named, err
}

// manifest is the image with its digest, which a tag is led to.
func (f *manifestFlags) manifest(c *Call) (*registryPlane, image, error) {
	plane, named, err := f.plane(c)
	if err != nil || named.digest != "" {
		return plane, named, err
	}
	named.tag = first(named.tag, "latest")
	found, err := plane.object(http.MethodGet, named.attributes(), nil)
	if err != nil {
		return nil, image{}, err
	}
	digest := named.part(found).Text("digest")
	if !digestName.MatchString(digest) {
		return nil, image{}, &notFound{"the registry names no manifest for " + f.Name}
	}
	return plane, image{repository: named.repository, digest: digest}, nil
}

type acrManifestList struct {
	manifestFlags
	listFlags
}

func (a *acrManifestList) Run(c *Call) error {
	plane, named, err := a.plane(c)
	if err != nil {
		return err
	}
	if named.tag != "" || named.digest != "" {
		return usagef("--name: %q names an image; give the repository alone", a.Name)
	}
	found, err := a.list(plane, named.repository, "manifests")
	if err != nil {
		return err
	}
	return c.PrintColumns(found, manifestColumns)
}

type acrManifestShow struct{ manifestFlags }

func (a *acrManifestShow) Run(c *Call) error {
	plane, named, err := a.manifest(c)
	if err != nil {
		return err
	}
	found, err := plane.object(http.MethodGet, named.attributes(), nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(named.part(found), manifestColumns)
}

type acrManifestDelete struct {
	manifestFlags
	confirmFlags
}

func (a *acrManifestDelete) Run(c *Call) error {
	plane, named, err := a.manifest(c)
	if err != nil {
		return err
	}
	return plane.deleteManifest(named, a.confirmFlags)
}
