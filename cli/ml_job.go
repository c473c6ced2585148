package cli

import (
	"net/http"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

const jobColumns = "[].{Name:name, Type:type, Status:status, Experiment:experiment_name, DisplayName:display_name, Created:creation_context.created_at}"

type jobGroup struct {
	Create   jobCreate   `cmd:"" help:"Submit a job: a command, or a pipeline of them. Folders of this machine that it names are uploaded." example:"alvara ml job create -f job.yml -w ws -g rg1 ;; alvara ml job create -f job.yml -w ws -g rg1 --set inputs.epochs=5 compute=azureml:cpu --stream --query status -o tsv"`
	Validate jobValidate `cmd:"" help:"Check a job's file as create does, and that the workspace has what it names; nothing is uploaded or submitted." example:"alvara ml job validate -f job.yml -w ws -g rg1"`
	Show     jobShow     `cmd:"" help:"Show a job." example:"alvara ml job show -n 5e1c2f0e -w ws -g rg1 --query status -o tsv ;; alvara ml job show -n 5e1c2f0e --feature-store fs -g rg1"`
	List     jobList     `cmd:"" help:"List jobs, the newest first." example:"alvara ml job list -w ws -g rg1 -o table ;; alvara ml job list -w ws -g rg1 --status Failed --max-results 5"`
	Stream   jobStream   `cmd:"" help:"Show a job's log until it ends; the exit code is 0 when it has completed and 1 otherwise." example:"alvara ml job stream -n 5e1c2f0e -w ws -g rg1"`
	Metrics  jobMetrics  `cmd:"" help:"Show what a job has measured of itself." example:"alvara ml job metrics -n 5e1c2f0e -w ws -g rg1 -o table"`
	Download jobDownload `cmd:"" help:"Download what a job has left: its artifacts and log, or an output." example:"alvara ml job download -n 5e1c2f0e -w ws -g rg1 --download-path ./out ;; alvara ml job download -n 5e1c2f0e -w ws -g rg1 --output-name model"`
	Cancel   jobCancel   `cmd:"" help:"Cancel a job." example:"alvara ml job cancel -n 5e1c2f0e -w ws -g rg1"`
	Retry    jobRetry    `cmd:"" help:"Submit a job that has ended once more, as another job." example:"alvara ml job retry -n 5e1c2f0e -w ws -g rg1 --query name -o tsv"`
	Update   jobUpdate   `cmd:"" help:"Change a job's display name, description or tags." example:"alvara ml job update -n 5e1c2f0e -w ws -g rg1 --set tags.stage=accepted ;; alvara ml job update -n 5e1c2f0e -w ws -g rg1 --tags stage=accepted"`
	Delete   jobDelete   `cmd:"" help:"Delete a job, with its log and artifacts. One that runs is cancelled." example:"alvara ml job delete -n 5e1c2f0e -w ws -g rg1 --yes"`
	Archive  jobArchive  `cmd:"" help:"Hide a job from lists." example:"alvara ml job archive -n 5e1c2f0e -w ws -g rg1"`
	Restore  jobRestore  `cmd:"" help:"Bring an archived job back." example:"alvara ml job restore -n 5e1c2f0e -w ws -g rg1"`
}

// snake turns displayName into display_name.
func snake(key string) string {
	var out []rune
	for i, r := range key {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				out = append(out, '_')
			}
			r += 'a' - 'A'
		}
		out = append(out, r)
	}
	return string(out)
}

type jobName struct {
	Name string `short:"n" required:"" help:"Name of the job."`
	inWorkspace
}

func (j jobName) path(c *Call) (string, error) {
	store, err := j.inWorkspace.path(c)
	return store + "/jobs/" + segment(lastName(j.Name)), err
}

type jobShow struct{ jobName }

func (j *jobShow) Run(c *Call) error {
	path, err := j.path(c)
	if err != nil {
		return err
	}
	job, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	return c.PrintColumns(jobDocument(job), jobColumns)
}

type jobList struct {
	inWorkspace
	Status     string `help:"Only jobs in this state, such as Running, Completed or Failed."`
	MaxResults int    `name:"max-results" short:"r" help:"At most this many."`
	viewFlags
}

func (j *jobList) Run(c *Call) error {
	store, err := j.path(c)
	if err != nil {
		return err
	}
	request, err := c.armRequest(http.MethodGet, store+"/jobs", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	request.Query.Set("listViewType", j.viewType())
	out := []*document.Object{}
	found, err := c.client.List(c.ctx, request)
	if err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b *document.Object) int { return createdAt(b).Compare(createdAt(a)) })
	for _, job := range found {
		if j.Status == "" || strings.EqualFold(j.Status, job.Text("properties", "status")) {
			out = append(out, jobDocument(job))
		}
	}
	if j.MaxResults > 0 && len(out) > j.MaxResults {
		out = out[:j.MaxResults]
	}
	return c.PrintColumns(out, jobColumns)
}
