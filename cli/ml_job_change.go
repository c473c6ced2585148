package cli

import (
	"net/http"

	"github.com/alvara-ml/alvara/cli/document"
)

type jobCancel struct {
	jobName
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (j *jobCancel) Run(c *Call) error {
	path, err := j.path(c)
	if err != nil {
		return err
	}
	_, err = c.armFinish(http.MethodPost, path+"/cancel", machineLearnAPI, nil, "Cancelling job "+j.Name, j.NoWait)
	return err
}

type jobRetry struct{ jobName }

func (j *jobRetry) Run(c *Call) error {
	path, err := j.path(c)
	if err != nil {
		return err
	}
	made, err := c.armFinish(http.MethodPost, path+"/retry", machineLearnAPI, nil, "Submitting job "+j.Name+" again", false)
	if err != nil {
		return err
	}
	return c.PrintColumns(jobDocument(made), jobColumns)
}

type jobUpdate struct {
	jobName
	DisplayName string   `name:"display-name" help:"Name to show."`
	Description string   `help:"What the job is for."`
	Set         []string `sep:"none" placeholder:"PATH=VALUE" help:"display_name=…, description=… or tags.NAME=…"`
	tagFlags
}

func (j *jobUpdate) Run(c *Call) error {
	given, err := setTree(j.Set)
	if err != nil {
		return err
	}
	if err := knownFields("--set", given, "display_name", "description", "tags"); err != nil {
		return err
	}
	given.SetIf("display_name", j.DisplayName).SetIf("description", j.Description)
	added, err := textsOf("--set", "tags", given)
	if err != nil {
		return err
	}
	tags, err := tagsOf(j.Tags)
	if err != nil {
		return err
	}
	properties := document.New().SetIf("displayName", given.Text("display_name")).SetIf("description", given.Text("description"))
	path, err := j.path(c)
	if err != nil {
		return err
	}
	if tags == nil && added != nil {
		found, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
		if err != nil {
			return err
		}
		tags = found.Object("properties", "tags").Clone()
	}
	for _, name := range added.Keys() {
		tags.Set(name, added.Get(name))
	}
	if tags != nil {
		properties.Set("tags", tags)
	}
	if properties.Len() == 0 {
		return usagef("nothing to change: give --display-name, --description, --tags or --set")
	}
	changed, err := c.arm(http.MethodPatch, path, machineLearnAPI, document.New("properties", properties))
	if err != nil {
		return err
	}
	return c.PrintColumns(jobDocument(changed), jobColumns)
}

type jobArchive struct{ jobName }

func (j *jobArchive) Run(c *Call) error { return j.archive(c, true) }

type jobRestore struct{ jobName }

func (j *jobRestore) Run(c *Call) error { return j.archive(c, false) }

func (j *jobName) archive(c *Call, archived bool) error {
	path, err := j.path(c)
	if err != nil {
		return err
	}
	_, err = c.arm(http.MethodPatch, path, machineLearnAPI, document.New("properties", document.New("isArchived", archived)))
	return err
}

type jobDelete struct {
	jobName
	confirmFlags
	NoWait bool `name:"no-wait" help:"Do not wait for the end."`
}

func (j *jobDelete) Run(c *Call) error {
	path, err := j.path(c)
	if err != nil {
		return err
	}
	if err := j.confirm(c, "delete the job "+j.Name+" with its log and artifacts"); err != nil {
		return err
	}
	return c.deleteResource(path, machineLearnAPI, "job "+j.Name, j.NoWait)
}
