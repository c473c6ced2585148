package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/wire"
	"github.com/alvara-ml/alvara/featurestore/spec"
)

type featureSetBackfill struct {
	assetFlags
	FeatureWindowStartTime string      `name:"feature-window-start-time" aliases:"feature-window-start" placeholder:"TIME" help:"Start of the window, inside it: 2023-01-01T00:00:00Z or 2023-01-01 (UTC)."`
	FeatureWindowEndTime   string      `name:"feature-window-end-time" aliases:"feature-window-end" placeholder:"TIME" help:"End of the window, outside it."`
	DataStatus             []string    `name:"data-status" placeholder:"STATUS" help:"Only intervals with these states: None, Incomplete, Complete, Pending."`
	ByJobID                string      `name:"by-job-id" placeholder:"JOB" help:"Run the window of a failed or cancelled job again."`
	DisplayName            string      `name:"display-name" help:"Name of the jobs."`
	Description            string      `help:"Description of the jobs."`
	InstanceType           string      `name:"instance-type" help:"Size of the machine, kept with the jobs."`
	MemoryLimit            memoryLimit `name:"memory-limit" placeholder:"SIZE" help:"Memory for the computation, such as 512MB or 2GB."`
	SparkConf              []string    `name:"spark-configuration" sep:"none" placeholder:"NAME=VALUE" help:"Spark settings, kept with the jobs."`
	tagFlags
	Wait bool `help:"Wait for the jobs; the exit code is 1 when one fails."`
}

var dataStatuses = []string{"None", "Pending", "Incomplete", "Complete"}

func (b *featureSetBackfill) body() (*document.Object, error) {
	body := document.New()
	window := document.New()
	for _, bound := range []struct{ flag, key, text string }{
		{"--feature-window-start-time", "featureWindowStart", b.FeatureWindowStartTime},
		{"--feature-window-end-time", "featureWindowEnd", b.FeatureWindowEndTime},
	} {
		if bound.text == "" {
			continue
		}
		at, err := spec.ParseTime(bound.text)
		if err != nil {
			return nil, usagef("%s: %s", bound.flag, plainMessage(err))
		}
		window.Set(bound.key, at.Format(time.RFC3339Nano))
	}
	body.SetIf("featureWindow", window)
	statuses := []any{}
	for _, status := range b.DataStatus {
		known := ""
		for _, candidate := range dataStatuses {
			if strings.EqualFold(candidate, strings.TrimSpace(status)) {
				known = candidate
			}
		}
		if known == "" {
			return nil, usagef("--data-status: %q is no state; expected %s", status, strings.Join(dataStatuses, ", "))
		}
		statuses = append(statuses, known)
	}
	if b.ByJobID != "" && (window.Len() > 0 || len(statuses) > 0) {
		return nil, usagef("--by-job-id runs the window of that job; it goes without a window and without --data-status")
	}
	body.SetIf("dataAvailabilityStatus", statuses).SetIf("jobId", b.ByJobID).SetIf("displayName", b.DisplayName).SetIf("description", b.Description)
	if b.InstanceType != "" {
		body.Set("resource", document.New("instanceType", b.InstanceType))
	}
	if b.MemoryLimit != 0 {
		body.Set("properties", document.New("memoryLimit", strconv.FormatInt(int64(b.MemoryLimit), 10)))
	}
	spark, err := tagsOf(b.SparkConf)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(b.Tags)
	return body.SetIf("sparkConfiguration", spark).SetIf("tags", tags), err
}

func (b *featureSetBackfill) Run(c *Call) error {
	body, err := b.body()
	if err != nil {
		return err
	}
	path, err := b.path(c, featureSets)
	if err != nil {
		return err
	}
	started, err := c.armFinish(http.MethodPost, path+"/backfill", machineLearnAPI, body, "Starting backfill of "+b.Name, false)
	if err != nil {
		return err
	}
	ids := []string{}
	for _, id := range started.List("jobIds") {
		if text, ok := id.(string); ok {
			ids = append(ids, lastName(text))
		}
	}
	if len(ids) == 0 {
		c.Warn("no interval of the window has a state that was asked for; nothing is to be done")
	}
	if !b.Wait {
		return c.Print(started)
	}
	jobs, err := c.awaitJobs(b.storeFlags, ids)
	result := document.New("jobIds", document.Strings(ids), "jobs", document.List(jobs))
	if printErr := c.Print(result); printErr != nil {
		return printErr
	}
	return err
}

// lastName is the last segment of an id, or the name itself.
func lastName(id string) string { return id[strings.LastIndex(id, "/")+1:] }

// awaitJobs follows jobs to their end and gives them; the error is that of the first one that did not complete.
func (c *Call) awaitJobs(store storeFlags, ids []string) ([]*document.Object, error) {
	base, err := store.path(c)
	if err != nil {
		return nil, err
	}
	var done []*document.Object
	var failed error
	for i, id := range ids {
		job, err := c.awaitJob(base, id, fmt.Sprintf("Materialization job %d of %d", i+1, len(ids)))
		if err != nil {
			return done, err
		}
		done = append(done, jobDocument(job))
		if err := jobError(job); err != nil && failed == nil {
			failed = err
		}
	}
	return done, failed
}

func (c *Call) awaitJob(store, id, title string) (*document.Object, error) {
	progress := c.progress(title)
	defer progress.Stop()
	for step := 0; ; step++ {
		job, err := c.arm(http.MethodGet, store+"/jobs/"+segment(id), machineLearnAPI, nil)
		if err != nil {
			return nil, err
		}
		status := job.Text("properties", "status")
		progress.State(status)
		if jobEnded(status) {
			return job, nil
		}
		if err := c.client.Pause(c.ctx, wire.Backoff(step)); err != nil {
			return nil, err
		}
	}
}

// memoryLimit is a number of bytes, written as 512MB, 2GiB or a plain number.
type memoryLimit int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *memoryLimit) UnmarshalText(text []byte) error {
	upper := strings.ToUpper(strings.TrimSpace(string(text)))
	units := []struct {
		suffix string
		bytes  float64
	}{{"TIB", 1 << 40}, {"GIB", 1 << 30}, {"MIB", 1 << 20}, {"KIB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"K", 1e3}, {"B", 1}, {"", 1}}
	for _, unit := range units {
		number, ok := strings.CutSuffix(upper, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || n*unit.bytes < 1 || n*unit.bytes > 1<<50 {
			break
		}
		*m = memoryLimit(n * unit.bytes)
		return nil
	}
	return fmt.Errorf("%q is no amount of memory; expected a form such as 512MB or 2GB", text)
}

// String writes whole megabytes where it can.
func (m memoryLimit) String() string {
	if m%1e6 == 0 {
		return strconv.FormatInt(int64(m)/1e6, 10) + "MB"
	}
	return strconv.FormatInt(int64(m), 10) + "B"
}
