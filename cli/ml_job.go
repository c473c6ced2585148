package cli

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/wire"
)

const jobColumns = "[].{Name:name, Status:status, DisplayName:display_name, Created:creation_context.created_at}"

type jobGroup struct {
	Show   jobShow   `cmd:"" help:"Show a job." example:"alvara ml job show -n 5e1c2f0e --feature-store fs -g rg1 --query status -o tsv"`
	List   jobList   `cmd:"" help:"List jobs." example:"alvara ml job list --feature-store fs -g rg1 -o table"`
	Stream jobStream `cmd:"" help:"Show a job's log until it ends; the exit code is 1 when it fails." example:"alvara ml job stream -n 5e1c2f0e --feature-store fs -g rg1"`
	Cancel jobCancel `cmd:"" help:"Cancel a job." example:"alvara ml job cancel -n 5e1c2f0e --feature-store fs -g rg1"`
}

// jobDocument is a job as az prints it, with what this server adds: the window, the identity and the error.
func jobDocument(job *document.Object) *document.Object {
	p := job.Object("properties")
	out := document.New("name", job.Get("name"), "status", p.Get("status"), "type", p.Get("jobType"), "display_name", p.Get("displayName"),
		"description", p.Get("description"))
	for _, key := range p.Keys() {
		switch key {
		case "status", "jobType", "displayName", "description", "tags", "properties":
		default:
			out.Set(snake(key), p.Get(key))
		}
	}
	return out.Set("tags", p.Get("tags")).Set("properties", p.Get("properties")).Set("id", job.Get("id")).Set("creation_context", creation(job))
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

func jobEnded(status string) bool {
	switch status {
	case "Completed", "Failed", "Canceled":
		return true
	}
	return false
}

// jobError is why a job that ended did not complete; nil when it did.
func jobError(job *document.Object) error {
	status := job.Text("properties", "status")
	if status == "Completed" {
		return nil
	}
	name := job.Text("name")
	if inner := job.Object("properties", "error"); inner != nil {
		failed := wire.FromDocument(inner)
		failed.Message = fmt.Sprintf("the job %s ended as %s: %s", name, status, failed.Message)
		return failed
	}
	reason := first(job.Text("properties", "properties", "error"), job.Text("properties", "error"), "`alvara ml job stream` shows its log")
	return &wire.Error{Code: "Job" + status, Message: fmt.Sprintf("the job %s ended as %s: %s", name, status, reason)}
}

type jobName struct {
	Name string `short:"n" required:"" help:"Name of the job."`
	storeFlags
}

func (j jobName) path(c *Call) (string, error) {
	store, err := j.storeFlags.path(c)
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
	storeFlags
	MaxResults int `name:"max-results" help:"At most this many."`
}

func (j *jobList) Run(c *Call) error {
	store, err := j.path(c)
	if err != nil {
		return err
	}
	found, err := c.armList(store+"/jobs", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for _, job := range slices.Backward(found) { // the newest first
		if j.MaxResults == 0 || len(out) < j.MaxResults {
			out = append(out, jobDocument(job))
		}
	}
	return c.PrintColumns(out, jobColumns)
}

// nextOffset is the header in which the server says from where to go on reading a log.
const nextOffset = "x-alvara-next-offset"

type jobStream struct{ jobName }

func (j *jobStream) Run(c *Call) error {
	path, err := j.path(c)
	if err != nil {
		return err
	}
	offset := int64(0)
	idle := 0
	for {
		// The status is read before the log: when it is a final one, the log that follows is whole.
		job, err := c.arm(http.MethodGet, path, machineLearnAPI, nil)
		if err != nil {
			return err
		}
		ended := jobEnded(job.Text("properties", "status"))
		moved, err := j.copyLog(c, path, &offset)
		if err != nil {
			return err
		}
		if ended {
			for moved {
				if moved, err = j.copyLog(c, path, &offset); err != nil {
					return err
				}
			}
			return jobError(job)
		}
		idle++
		if moved {
			idle = 0
		}
		if err := c.client.Pause(c.ctx, wire.Backoff(idle)); err != nil {
			return err
		}
	}
}

// copyLog writes what the log has from the offset on, and tells whether there was something.
func (j *jobStream) copyLog(c *Call, path string, offset *int64) (bool, error) {
	request, err := c.armRequest(http.MethodGet, path+"/logs", machineLearnAPI, nil)
	if err != nil {
		return false, err
	}
	request.Query.Set("offset", strconv.FormatInt(*offset, 10))
	request.Header = http.Header{"Accept": {"text/plain"}}
	response, err := c.client.Do(c.ctx, request)
	if missing(err) {
		return false, nil // the job has not written a line yet
	}
	if err != nil {
		return false, err
	}
	if _, err := c.Program.Stdout.Write(response.Body); err != nil {
		return false, err
	}
	next, err := strconv.ParseInt(response.Header.Get(nextOffset), 10, 64)
	if err != nil {
		next = *offset + int64(len(response.Body))
	}
	moved := next > *offset
	*offset = max(next, *offset)
	return moved, nil
}

type jobCancel struct{ jobName }

func (j *jobCancel) Run(c *Call) error {
	path, err := j.path(c)
	if err != nil {
		return err
	}
	_, err = c.armFinish(http.MethodPost, path+"/cancel", machineLearnAPI, nil, "Cancelling job "+j.Name, false)
	return err
}
