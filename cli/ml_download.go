package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/wire"
	"github.com/alvara-ml/alvara/featurestore/spec"
)

// landing is a folder of this machine that files are downloaded into. What strangers call their files never leads out of it.
type landing struct {
	call  *Call
	root  *os.Root
	dir   string
	files []any // their paths, in the order of their coming
}

// land opens a folder, which is made when it is not there.
func (c *Call) land(dir string) (*landing, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	return &landing{call: c, root: root, dir: dir}, err
}

func (l *landing) close() { _ = l.root.Close() }

// place gives where a file goes, and makes the folders above it; false when its name is none that a file can have here.
func (l *landing) place(name string) (string, bool, error) {
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) || strings.HasSuffix(name, "/") {
		l.call.Warn("%q is no name that a file can have here; it is left out", name)
		return "", false, nil
	}
	if err := l.root.MkdirAll(filepath.Dir(local), 0o755); err != nil {
		return "", false, err
	}
	l.files = append(l.files, filepath.ToSlash(filepath.Join(l.dir, local)))
	return filepath.Join(l.dir, local), true, nil
}

// downloadURI brings what a URI of a workspace names into DIR/name, and prints the files.
func (c *Call) downloadURI(workspace, uri, dir, name string) error {
	if !filepath.IsLocal(name) {
		return usagef("%q is no name that a folder can have here", name)
	}
	to, err := c.land(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer to.close()
	if err := to.uri(workspace, uri); err != nil {
		return err
	}
	return c.Print(to.files)
}

// uri downloads the file or the folder that a URI names.
func (l *landing) uri(workspace, uri string) error {
	if rest, ok := strings.CutPrefix(uri, "azureml://jobs/"); ok {
		parts := strings.SplitN(rest, "/", 5) // JOB/outputs/NAME/paths/PATH
		if len(parts) < 3 {
			return fmt.Errorf("%s names no output of a job", uri)
		}
		below := ""
		if len(parts) == 5 {
			below = parts[4]
		}
		return l.output(workspace, parts[0], parts[2], below)
	}
	source, err := spec.ParseSource(uri)
	if err != nil {
		return fmt.Errorf("%s cannot be downloaded: %s", uri, plainMessage(err))
	}
	var store *container.Client
	if source.Datastore != "" {
		store, err = l.call.datastore(workspace, source.Datastore)
	} else {
		service, clientErr := accountFlags{AccountName: source.Account}.client(l.call)
		if err = clientErr; err == nil {
			store = service.NewContainerClient(source.Container)
		}
	}
	if err != nil {
		return err
	}
	return l.blobs(store, source.Path, uri)
}

// blobs downloads a blob, or all of those below a folder.
func (l *landing) blobs(store *container.Client, place, uri string) error {
	before := len(l.files)
	err := l.call.eachBlob(store, place, func(item *container.BlobItem) error {
		name := strings.TrimPrefix(strings.TrimPrefix(*item.Name, place), "/")
		switch {
		case *item.Name == place:
			name = path.Base(place)
		case place != "" && !strings.HasPrefix(*item.Name, strings.TrimSuffix(place, "/")+"/"):
			return nil // another one whose name begins alike
		}
		file, ok, err := l.place(name)
		if err != nil || !ok {
			return err
		}
		size := int64(0)
		if item.Properties != nil && item.Properties.ContentLength != nil {
			size = *item.Properties.ContentLength
		}
		return l.call.download(store, *item.Name, file, size)
	})
	if err == nil && len(l.files) == before {
		err = &notFound{"there is nothing at " + uri}
	}
	return err
}

// output downloads an output of a job, or a part of it. What the job left in its folder outputs is the output artifacts.
func (l *landing) output(workspace, job, output, below string) error {
	at := workspace + "/jobs/" + segment(job)
	if output == artifactsOutput {
		return l.artifacts(at, below)
	}
	found, err := l.call.arm(http.MethodGet, at, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	given := found.Object("properties", "outputs", output)
	if given == nil {
		return &notFound{fmt.Sprintf("the job %s has no output %s; it has %s", job, output, first(strings.Join(found.Object("properties", "outputs").Keys(), ", "), "none"))}
	}
	uri := given.Text("uri")
	if below != "" {
		uri = strings.TrimSuffix(uri, "/") + "/" + below
	}
	return l.uri(workspace, uri)
}

const artifactsOutput = "artifacts"

// artifacts downloads what a job left in its folder outputs, from the server that keeps it.
func (l *landing) artifacts(job, below string) error {
	found, err := l.call.arm(http.MethodGet, job+"/artifacts", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	for _, artifact := range found.Objects("value") {
		name := artifact.Text("path")
		if below = strings.TrimSuffix(below, "/"); below != "" && name != below && !strings.HasPrefix(name, below+"/") {
			continue
		}
		if err := l.artifact(job, name); err != nil {
			return err
		}
	}
	return nil
}

func (l *landing) artifact(job, name string) error {
	file, ok, err := l.place(name)
	if err != nil || !ok {
		return err
	}
	request, err := l.call.armRequest(http.MethodGet, job+"/artifacts/content", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	request.Query = url.Values{"api-version": {machineLearnAPI}, "path": {name}}
	return writeWhole(file, func(part *os.File) error { return l.call.copyTo(part, request) })
}

// logs downloads a job's log, and those of its other nodes.
func (l *landing) logs(path string, job *document.Object) error {
	if err := l.log(jobLog{call: l.call, path: path}, "user_logs/std_log.txt"); err != nil {
		return err
	}
	for node := 1; node < nodesOf(job); node++ {
		rank := strconv.Itoa(node)
		if err := l.log(jobLog{call: l.call, path: path, node: rank}, "user_logs/std_log_"+rank+".txt"); err != nil {
			return err
		}
	}
	return nil
}

// nodesOf is on how many nodes a job runs.
func nodesOf(job *document.Object) int {
	text := first(job.Text("properties", "properties", "alvara.nodes"), job.Text("properties", "resources", "instanceCount"))
	n, err := strconv.Atoi(text)
	if err != nil {
		return 1
	}
	return n
}

func (l *landing) log(log jobLog, name string) error {
	file, ok, err := l.place(name)
	if err != nil || !ok {
		return err
	}
	return writeWhole(file, func(part *os.File) error {
		log.out = part
		for more := true; more; {
			if more, err = log.copy(false); err != nil {
				return err
			}
		}
		return nil
	})
}

type jobDownload struct {
	jobName
	DownloadPath string `name:"download-path" short:"p" default:"." help:"Folder to write into. (${default})"`
	OutputName   string `name:"output-name" help:"The output to download, which goes to named-outputs/NAME; without it artifacts and log, which go to artifacts. Nodes beside the first have logs of their own, std_log_RANK.txt."`
	All          bool   `help:"Artifacts, log and all outputs."`
}

func (j *jobDownload) Run(c *Call) error {
	if j.All && j.OutputName != "" {
		return usagef("--all and --output-name exclude each other")
	}
	workspace, err := j.inWorkspace.path(c)
	if err != nil {
		return err
	}
	job, err := j.path(c)
	if err != nil {
		return err
	}
	found, err := c.arm(http.MethodGet, job, machineLearnAPI, nil)
	if err != nil {
		return err
	}
	files := []any{}
	into := func(folder string, fill func(*landing) error) error {
		to, err := c.land(filepath.Join(j.DownloadPath, filepath.FromSlash(folder)))
		if err != nil {
			return err
		}
		defer to.close()
		err = fill(to)
		files = append(files, to.files...)
		return err
	}
	if j.OutputName == "" {
		err := into("artifacts", func(to *landing) error {
			if err := to.artifacts(job, ""); err != nil {
				return err
			}
			return to.logs(job, found)
		})
		if err != nil {
			return err
		}
	}
	for _, output := range j.outputs(found) {
		if !filepath.IsLocal(output) {
			return usagef("the output %q has no name that a folder can have here", output)
		}
		err := into("named-outputs/"+output, func(to *landing) error { return to.output(workspace, lastName(j.Name), output, "") })
		if absent := (*notFound)(nil); j.All && asNotFound(err, &absent) {
			c.Warn("%s", absent.message)
			continue
		}
		if err != nil {
			return err
		}
	}
	return c.Print(files)
}

// outputs are those that are asked for.
func (j *jobDownload) outputs(job *document.Object) []string {
	switch {
	case j.All:
		return job.Object("properties", "outputs").Keys()
	case j.OutputName != "":
		return []string{j.OutputName}
	}
	return nil
}

const jobMetricColumns = "[].{Name:name, Value:value, Step:step, Time:time}"

type jobMetrics struct{ jobName }

func (j *jobMetrics) Run(c *Call) error {
	path, err := j.path(c)
	if err != nil {
		return err
	}
	request, err := c.armRequest(http.MethodGet, path+"/metrics", machineLearnAPI, nil)
	if err != nil {
		return err
	}
	out := []*document.Object{}
	for at := ""; ; {
		request.Query.Set("offset", first(at, "0"))
		response, err := c.client.Do(c.ctx, request)
		if err != nil {
			return err
		}
		page, err := response.Object()
		if err != nil {
			return err
		}
		out = append(out, page.Objects("value")...)
		next := page.Text("nextOffset")
		if next == at || next == "" || len(page.List("value")) == 0 {
			return c.PrintColumns(out, jobMetricColumns)
		}
		at = next
	}
}

// copyTo writes the body of an answer as it comes, whatever its size.
func (c *Call) copyTo(w *os.File, request wire.Request) error {
	answer, err := c.client.Open(c.ctx, request, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return readAnswer(w, answer)
}
