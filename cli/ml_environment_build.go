package cli

import (
	"fmt"
	"net/http"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/wire"
)

type environmentBuild struct {
	environmentName
	NoLogs bool `name:"no-logs" help:"Do not show the log."`
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (e *environmentBuild) Run(c *Call) error {
	path, err := e.version(c)
	if err != nil {
		return err
	}
	made, err := c.arm(http.MethodPost, path+"/build", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	state, id := made.Text("state"), made.Text("runId")
	switch {
	case state == "NotNeeded":
		c.Warn("the image is used as it is, and nothing is built")
	case id == "":
		c.Warn("the image is there already: %s", made.Text("image"))
	default:
		c.Warn("the run %s builds %s", id, made.Text("image"))
	}
	if id != "" && !e.NoWait {
		if err := e.toTheEnd(c, path); err != nil {
			c.Warn("the run %s goes on; `alvara ml environment show -n %s -v %s -w %s -g %s` shows its state", id, e.Name, e.Version, e.Workspace, e.ResourceGroup)
			return err
		}
	}
	found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	if err := c.PrintColumns(environmentDocument(found), environmentColumns); err != nil {
		return err
	}
	build := found.Object("properties", "imageBuild")
	if build.Text("state") != "Failed" || e.NoWait {
		return nil
	}
	return &wire.Error{Code: "BuildFailed", Message: fmt.Sprintf("the run %s that builds the image of %s:%s failed: %s", build.Text("runId"), e.Name, e.Version, first(build.Text("message"), "its log says why"))}
}

// toTheEnd shows the log of the version's build until that has ended. Others may wait for the same image, so that a command which is
// stopped leaves it going on.
func (e *environmentBuild) toTheEnd(c *Call, path string) error {
	running := &registryRun{
		call: c, out: c.Program.Stderr,
		asked: func() (*document.Object, error) {
			found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
			if err != nil {
				return nil, err
			}
			build := found.Object("properties", "imageBuild")
			status := build.Text("state")
			if status == "NotBuilt" { // the run was forgotten
				status = "Failed"
			}
			return document.New("name", build.Get("runId"), "properties", document.New("status", status)), nil
		},
		linked: func() (*document.Object, error) {
			return c.arm(http.MethodPost, path+"/listBuildLog", machineLearnAPI, nil)
		},
	}
	if !e.NoLogs {
		if err := running.follow(); err != nil {
			return err
		}
	}
	_, err := running.finish()
	return err
}
