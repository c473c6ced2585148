package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/profile"
	"github.com/alvara-ml/alvara/examples/image"
	"github.com/alvara-ml/alvara/image/layer"
	"github.com/alvara-ml/alvara/job/sandbox"
	"github.com/alvara-ml/alvara/job/sandboxed"
)

const (
	jobsWorkspace = "benchjobs"
	jobsRegistry  = "benchimages"
	jobStarts     = 30  // one after the other
	jobsAtOnce    = 200 // queued at once
	jobsAPI       = "?api-version=2024-04-01"
	uptime        = "/proc/uptime" // one clock for both sides, in hundredths of a second
)

// jobs is P8: from the submission of a job to the first line of its program, image unpacked, beside a sandbox that is started in
// this process; and 200 jobs at once.
func (b *run) jobs(ctx context.Context) (_ []Measurement, err error) {
	if _, err := os.Stat(uptime); err != nil {
		return nil, errors.New("jobs in images need Linux")
	}
	w, err := b.jobsWorld(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	if _, err := w.start(ctx, "warm"); err != nil {
		return nil, err
	}
	starts := max(jobStarts/b.Scale, 5)
	var limit, ours Cost
	for i := range starts {
		one, err := b.inSandbox(ctx, w.rootfs, i)
		if err != nil {
			return nil, err
		}
		took, err := w.start(ctx, "start"+strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		limit.Wall, limit.CPU = limit.Wall+one.Wall/float64(starts), limit.CPU+one.CPU/float64(starts)
		ours.Wall, ours.CPU = ours.Wall+took.Wall/float64(starts), ours.CPU+took.CPU/float64(starts)
	}
	begun := Measurement{
		ID: "P8", Name: "job start", Ratio: ours.Wall / limit.Wall, Target: "≤ 5 × a sandbox started in process", Met: ours.Wall <= 5*limit.Wall, Ours: ours, Limit: limit,
		Size: fmt.Sprintf("%d jobs, one after the other, image unpacked; from the request to the program's first line %.0f ms, a sandbox from start to exit %.0f ms (means)", starts, ours.Wall*1e3, limit.Wall*1e3),
	}
	many, err := w.many(ctx, max(jobsAtOnce/b.Scale, 20), limit)
	return []Measurement{begun, many}, err
}

// jobsWorld is a server with a workspace, a cluster and an image of this machine's shell.
type jobsWorld struct {
	*server
	base   string // URL of the workspace's jobs
	client *http.Client
	token  string
	rootfs string // the image's files
}

func (b *run) jobsWorld(ctx context.Context) (_ *jobsWorld, err error) {
	dir, context := filepath.Join(b.dir, "jobs"), filepath.Join(b.dir, "shell")
	s, err := b.serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if err := image.Shell(context); err != nil {
		return nil, err
	}
	endpoints, err := profile.ReadEndpoints(dir)
	if err != nil {
		return nil, err
	}
	err = b.commands(ctx,
		[]string{"login", "--local", "--data", dir},
		[]string{"group", "create", "-n", group, "-l", "local"},
		[]string{"acr", "create", "-n", jobsRegistry, "-g", group, "-l", "local", "--sku", "Standard"},
		[]string{"identity", "create", "-n", "builder", "-g", group},
	)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for name, line := range map[string][]string{
		"registry": {"acr", "show", "-n", jobsRegistry, "--query", "id"}, "server": {"acr", "show", "-n", jobsRegistry, "--query", "loginServer"},
		"builder": {"identity", "show", "-n", "builder", "-g", group, "--query", "id"}, "principal": {"identity", "show", "-n", "builder", "-g", group, "--query", "principalId"},
		"token": {"account", "get-access-token", "--query", "accessToken"},
	} {
		if names[name], err = b.command(ctx, append(line, "-o", "tsv")...); err != nil {
			return nil, err
		}
	}
	err = b.commands(ctx,
		[]string{"role", "assignment", "create", "--assignee", names["principal"], "--role", "AcrPush", "--scope", names["registry"]},
		[]string{"acr", "build", "-r", jobsRegistry, "-t", "shell:1", "--identity", names["builder"], context},
		[]string{"ml", "workspace", "create", "-w", jobsWorkspace, "-g", group, "-l", "local", "--container-registry", names["registry"]},
		[]string{"ml", "environment", "create", "-n", "shell", "-v", "1", "--image", names["server"] + "/shell:1", "-w", jobsWorkspace, "-g", group},
		[]string{"ml", "compute", "create", "-n", "train", "--type", "AmlCompute", "--max-instances", "8", "--identity-type", "SystemAssigned", "-w", jobsWorkspace, "-g", group},
	)
	if err != nil {
		return nil, err
	}
	if err := give(filepath.Join(context, "rootfs"), sandboxed.Owners()); err != nil {
		return nil, err
	}
	client, err := transfer{CAFile: endpoints.CAFile}.client()
	if err != nil {
		return nil, err
	}
	base := fmt.Sprintf("%s/subscriptions/%s/resourceGroups/%s/providers/Microsoft.MachineLearningServices/workspaces/%s", endpoints.ResourceManager, endpoints.Subscription, group, jobsWorkspace)
	return &jobsWorld{server: s, base: base, client: client, token: names["token"], rootfs: filepath.Join(context, "rootfs")}, nil
}

// give gives a folder's files to the ids that sandboxes have for an image's root.
func give(folder string, owners layer.Owners) error {
	if !owners.Chown {
		return nil
	}
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(owners.UID), int(owners.GID))
	})
}

// ask makes a request and reads the answer into a value, or text into a *string.
func (w *jobsWorld) ask(ctx context.Context, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, w.base+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+w.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := w.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // only read
	if text, err = io.ReadAll(response.Body); err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	switch into := into.(type) {
	case nil:
		return nil
	case *string:
		*into = string(text)
		return nil
	default:
		return json.Unmarshal(text, into)
	}
}

func (w *jobsWorld) submit(ctx context.Context, name, command string) error {
	return w.ask(ctx, http.MethodPut, "/jobs/"+name+jobsAPI, map[string]any{"properties": map[string]any{
		"jobType": "Command", "command": command, "environmentId": "azureml:shell:1", "computeId": "azureml:train",
		"identity": map[string]string{"identityType": "Managed"},
	}}, nil)
}

// wait waits until a job has ended, which must be well.
func (w *jobsWorld) wait(ctx context.Context, name string) error {
	for {
		var job struct {
			Properties struct {
				Status string
				Error  any
			}
		}
		if err := w.ask(ctx, http.MethodGet, "/jobs/"+name+jobsAPI, nil, &job); err != nil {
			return err
		}
		switch job.Properties.Status {
		case "Completed":
			return nil
		case "Failed", "Canceled":
			return fmt.Errorf("the job %s ended as %s: %v", name, job.Properties.Status, job.Properties.Error)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// start runs a job and tells what passed between the request and its program's first line, and the server's processor time for all of it.
func (w *jobsWorld) start(ctx context.Context, name string) (Cost, error) {
	used, err := w.cpu()
	if err != nil {
		return Cost{}, err
	}
	began, err := clock()
	if err != nil {
		return Cost{}, err
	}
	if err := w.submit(ctx, name, "read up rest < "+uptime+"; echo up $up"); err != nil {
		return Cost{}, err
	}
	if err := w.wait(ctx, name); err != nil {
		return Cost{}, err
	}
	var log string
	if err := w.ask(ctx, http.MethodGet, "/jobs/"+name+"/logs"+jobsAPI, nil, &log); err != nil {
		return Cost{}, err
	}
	_, line, _ := strings.Cut("\n"+log, "\nup ")
	line, _, _ = strings.Cut(line, "\n")
	first, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	if err != nil {
		return Cost{}, fmt.Errorf("the job %s did not say when it began: %q", name, log)
	}
	after, err := w.cpu()
	return Cost{Wall: first - began, CPU: after - used}, err
}

func clock() (float64, error) {
	text, err := os.ReadFile(uptime)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	return strconv.ParseFloat(first, 64)
}

// many queues jobs at once, and compares what they take with as many sandboxes one after the other, as one processor would run them.
func (w *jobsWorld) many(ctx context.Context, n int, one Cost) (Measurement, error) {
	used, err := w.cpu()
	if err != nil {
		return Measurement{}, err
	}
	began := time.Now()
	for i := range n {
		if err := w.submit(ctx, "many"+strconv.Itoa(i), "echo done"); err != nil {
			return Measurement{}, err
		}
	}
	for i := range n {
		if err := w.wait(ctx, "many"+strconv.Itoa(i)); err != nil {
			return Measurement{}, err
		}
	}
	wall := time.Since(began).Seconds()
	after, err := w.cpu()
	ours, limit := Cost{Wall: wall, CPU: after - used}, Cost{Wall: one.Wall * float64(n), CPU: one.CPU * float64(n)}
	return Measurement{
		ID: "P8", Name: "short jobs queued at once", Ratio: ours.Wall / limit.Wall, Target: "≤ 5 × as many sandboxes, one after the other", Met: ours.Wall <= 5*limit.Wall, Ours: ours, Limit: limit,
		Size: fmt.Sprintf("%d jobs in %.1f s, %.0f ms each", n, wall, wall/float64(n)*1e3),
	}, err
}

// inSandbox runs the same shell in a sandbox that this process starts.
func (b *run) inSandbox(ctx context.Context, rootfs string, i int) (Cost, error) {
	return timed(func() error {
		exit, err := sandbox.Run(ctx, sandbox.Spec{
			ID: "bench" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(i), State: filepath.Join(b.dir, "sandboxes"), Root: rootfs,
			Args: []string{"/bin/sh", "-c", "echo done"}, Env: []string{"PATH=/bin"},
		})
		if err == nil && exit.Code != 0 {
			err = fmt.Errorf("a sandbox ended with %d", exit.Code)
		}
		return err
	})
}
