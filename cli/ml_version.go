package cli

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
)

// versionName names an asset of a workspace, and perhaps one of its versions.
type versionName struct {
	Name    string `short:"n" required:"" help:"Name."`
	Version string `short:"v" help:"Version."`
	Label   string `short:"l" enum:",latest" default:"" help:"latest, in place of a version."`
	inWorkspace
}

// in is the path of the asset in a collection, or of the version that is named.
func (v *versionName) in(c *Call, collection string) (path string, isVersion bool, err error) {
	base, err := v.inWorkspace.path(c)
	if err != nil {
		return "", false, err
	}
	path = base + "/" + collection + "/" + segment(v.Name)
	switch {
	case v.Version != "" && v.Label != "":
		return "", false, usagef("--version and --label exclude each other")
	case v.Label != "":
		if v.Version, err = c.latestVersion(path); err != nil {
			return "", false, err
		}
	}
	if v.Version == "" {
		return path, false, nil
	}
	return path + "/versions/" + segment(v.Version), true, nil
}

// versionIn is the path of a version, which must be named.
func (v *versionName) versionIn(c *Call, collection string) (string, error) {
	path, isVersion, err := v.in(c, collection)
	if err == nil && !isVersion {
		err = usagef("give --version, or --label latest")
	}
	return path, err
}

// archive archives or restores a version, or the whole asset when none is named.
func (v *versionName) archive(c *Call, collection string, archived bool) error {
	path, _, err := v.in(c, collection)
	if err != nil {
		return err
	}
	_, err = c.armFinish(http.MethodPatch, path, machineLearnAPI, document.New("properties", document.New("isArchived", archived)), "Updating "+v.Name, false)
	return err
}

// latestVersion is the newest version of an asset that is not archived.
func (c *Call) latestVersion(path string) (string, error) {
	found, err := c.armList(path+"/versions", machineLearnAPI, url.Values{"listViewType": {"ActiveOnly"}})
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", &notFound{lastName(path) + " is not there, or all of its versions are archived"}
	}
	newest := slices.MaxFunc(found, func(a, b *document.Object) int { return createdAt(a).Compare(createdAt(b)) })
	_, version := nameAndVersion(newest)
	return version, nil
}

// createdAt is when a resource was made; the beginning of time when it does not say.
func createdAt(resource *document.Object) time.Time {
	at, err := time.Parse(time.RFC3339Nano, resource.Text("systemData", "createdAt"))
	if err != nil {
		return time.Time{}
	}
	return at
}

// nextVersion is the number of the version that an asset gets next.
func (c *Call) nextVersion(path string) (string, error) {
	found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
	if err != nil && !missing(err) {
		return "", err
	}
	return first(found.Text("properties", "nextVersion"), "1"), nil
}
