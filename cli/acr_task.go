package cli

import (
	"net/http"
	"strconv"

	"github.com/alvara-ml/alvara/cli/document"
)

type acrTaskGroup struct {
	ListRuns  acrTaskRuns   `cmd:"" name:"list-runs" aliases:"runs" help:"List runs, the newest first." example:"alvara acr task list-runs -r fraudacr --run-status Failed -o table"`
	ShowRun   acrTaskShow   `cmd:"" name:"show-run" help:"Show a run." example:"alvara acr task show-run -r fraudacr --run-id cb1"`
	Logs      acrTaskLogs   `cmd:"" help:"Show a run's log until it ends; without --run-id the last run's." example:"alvara acr task logs -r fraudacr --run-id cb1"`
	CancelRun acrTaskCancel `cmd:"" name:"cancel-run" help:"Cancel a run." example:"alvara acr task cancel-run -r fraudacr --run-id cb1"`
}

const runColumns = `[].{"RUN ID":runId, TASK:task, PLATFORM:platform.os, STATUS:status, TRIGGER:runType, STARTED:startTime, FINISHED:finishTime}`

type acrTaskRuns struct {
	registryFlag
	Top       int    `help:"At most this many."`
	RunStatus string `name:"run-status" enum:",Queued,Started,Running,Succeeded,Failed,Canceled,Error,Timeout" default:"" help:"Only runs with this status, such as Failed."`
}

// list asks for the newest runs that fit.
func (a *acrTaskRuns) list(c *Call) ([]*document.Object, error) {
	registry, err := a.path(c)
	if err != nil {
		return nil, err
	}
	request, err := c.armRequest(http.MethodGet, registry+"/runs", registryRunsAPI, nil)
	if err != nil {
		return nil, err
	}
	if a.RunStatus != "" {
		request.Query.Set("$filter", "Status eq '"+odata(a.RunStatus)+"'")
	}
	if a.Top > 0 {
		request.Query.Set("$top", strconv.Itoa(a.Top))
	}
	found := []*document.Object{}
	err = c.client.Pages(c.ctx, request, func(page []*document.Object) bool {
		found = append(found, page...)
		return a.Top == 0 || len(found) < a.Top
	})
	if err != nil {
		return nil, err
	}
	if a.Top > 0 && len(found) > a.Top {
		found = found[:a.Top]
	}
	return found, nil
}

func (a *acrTaskRuns) Run(c *Call) error {
	found, err := a.list(c)
	if err != nil {
		return err
	}
	return c.PrintColumns(flattenAll(found), runColumns)
}

type runFlags struct {
	registryFlag
	RunID string `name:"run-id" required:"" help:"Id of the run."`
}

func (f runFlags) run(c *Call) (*registryRun, error) {
	registry, err := f.path(c)
	if err != nil {
		return nil, err
	}
	return &registryRun{call: c, path: runPath(registry, f.RunID), out: c.Program.Stdout}, nil
}

type acrTaskShow struct{ runFlags }

func (a *acrTaskShow) Run(c *Call) error {
	run, err := a.run(c)
	if err != nil {
		return err
	}
	found, err := run.get()
	if err != nil {
		return err
	}
	return c.PrintColumns(flatten(found), runColumns)
}

type acrTaskLogs struct {
	registryFlag
	RunID    string `name:"run-id" help:"Id of the run; without it the last one."`
	NoFormat bool   `name:"no-format" help:"Kept for scripts; the log is shown as it is anyway."`
}

func (a *acrTaskLogs) Run(c *Call) error {
	if a.RunID == "" {
		last, err := (&acrTaskRuns{registryFlag: a.registryFlag, Top: 1}).list(c)
		if err != nil {
			return err
		}
		if len(last) == 0 {
			return &notFound{"the registry " + a.Registry + " has had no run yet"}
		}
		a.RunID = runID(last[0])
	}
	run, err := runFlags{a.registryFlag, a.RunID}.run(c)
	if err != nil {
		return err
	}
	return run.follow()
}

type acrTaskCancel struct{ runFlags }

func (a *acrTaskCancel) Run(c *Call) error {
	run, err := a.run(c)
	if err != nil {
		return err
	}
	_, err = c.armFinish(http.MethodPost, run.path+"/cancel", registryRunsAPI, nil, "Cancelling run "+a.RunID, false)
	return err
}
