package cli

import (
	"crypto/rand"
	"encoding/base32"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

type jobCreate struct {
	File           string   `short:"f" type:"existingfile" required:"" help:"job.yml: a command job or a pipeline; flags win over it."`
	Name           string   `short:"n" help:"Name of the job; without it a new one."`
	Set            []string `sep:"none" placeholder:"PATH=VALUE" help:"Fields of the file to set, such as inputs.epochs=5 resources.instance_count=2."`
	Stream         bool     `help:"Show the log until the job ends; the exit code is 1 unless it completes."`
	DisplayName    string   `name:"display-name" help:"Name to show."`
	Description    string   `short:"d" help:"What the job is for."`
	ExperimentName string   `name:"experiment-name" help:"Experiment that the job belongs to."`
	Web            bool     `short:"e" help:"Not offered: there is no studio to open."`
	inWorkspace
	tagFlags
}

func (j *jobCreate) Run(c *Call) error {
	if j.Web {
		return usagef("--web: there is no studio to open; `alvara ml job stream` shows the log of a job")
	}
	store, err := j.path(c)
	if err != nil {
		return err
	}
	given, err := j.read()
	if err != nil {
		return err
	}
	name := first(j.Name, given.Text("name"), newJobName())
	file := jobFile{folder: filepath.Dir(j.File), assets: &workspaceAssets{uploader: uploader{call: c, workspace: store}}}
	properties, err := file.properties(given)
	if err != nil {
		return err
	}
	made, err := c.armFinish(http.MethodPut, store+"/jobs/"+segment(name), machineLearnAPI, document.New("properties", properties), "Submitting job "+name, false)
	if err != nil {
		return err
	}
	if status := made.Text("properties", "status"); jobEnded(status) { // no job ends at once: it was there
		c.Warn("the job %s was there before and ended as %s; nothing was submitted. `alvara ml job retry -n %s` runs it again, and so does this with another --name", name, status, name)
	} else if j.Stream {
		c.Warn("the job %s is submitted", name)
	}
	if !j.Stream {
		return c.PrintColumns(jobDocument(made), jobColumns)
	}
	watched := jobStream{jobName: jobName{Name: name, inWorkspace: j.inWorkspace}}
	ended, err := watched.follow(c, c.Program.Stderr)
	if err != nil {
		return err
	}
	if err := c.PrintColumns(jobDocument(ended), jobColumns); err != nil {
		return err
	}
	return jobError(ended)
}

// read gives the file with the flags over it.
func (j *jobCreate) read() (*document.Object, error) {
	given, err := readYAML(j.File)
	if err != nil {
		return nil, err
	}
	if err := setInto(given, j.Set); err != nil {
		return nil, err
	}
	given.SetIf("display_name", j.DisplayName).SetIf("description", j.Description).SetIf("experiment_name", j.ExperimentName)
	return given, setTags(given, j.Tags)
}

// newJobName is a name that no other job has.
func newJobName() string {
	random := make([]byte, 10)
	_, _ = rand.Read(random) // never fails
	return "job-" + strings.ToLower(base32.StdEncoding.EncodeToString(random))
}
