package machinelearning

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

// maxPart is how much of a log or of metrics one request gets that does not follow, in bytes.
const maxPart = 256 << 10

// The headers of a log's part: where to go on, and how the job was when it was read.
const (
	nextOffsetHeader = "x-alvara-next-offset"
	jobStatusHeader  = "x-alvara-job-status"
)

// jobLog gives a job's log from ?offset=, in bytes: what was said before its run, what the run's first node wrote, and what was said
// afterwards. With ?node= it is what that node wrote, alone. With ?follow=true it comes as it is written, until the job has ended;
// otherwise it is what there is now, at most a part of it, and the header x-alvara-next-offset says where to go on.
func (d Deps) jobLog(ctx context.Context, call *arm.Call, r *arm.Resource[Job]) (any, error) {
	offset, err := countOf(call, "offset")
	if err != nil {
		return nil, err
	}
	if r.Properties.Work != nil {
		text, next, err := d.Log(ctx, r.ID, offset)
		if err != nil {
			return nil, err
		}
		return logPart(text, next, r.Properties.Status), nil
	}
	if r.Properties.Run == nil && len(r.Properties.Parts) == 0 {
		return logPart(nil, offset, r.Properties.Status), nil
	}
	view := logView{JobRunner: d.Runner, id: r.ID, node: -1}
	if call.QueryValue("node") != "" {
		if r.Properties.Run == nil {
			return nil, resource.Invalidf("InvalidParameter", "node: the job %s is a pipeline, whose steps have nodes; ask for the log of a step's job", r.Name).At("node")
		}
		node, err := countOf(call, "node")
		if err != nil {
			return nil, err
		}
		if nodes := r.Properties.Run.Order.Nodes; node >= int64(max(nodes, 1)) {
			return nil, resource.Invalidf("InvalidParameter", "node is %d; the job has %d nodes, which are counted from 0", node, max(nodes, 1)).At("node")
		}
		view.node = int(node)
	}
	if follow := call.QueryValue("follow"); follow != "" && follow != "0" && !strings.EqualFold(follow, "false") {
		return &arm.Response{Status: 200, Header: map[string]string{jobStatusHeader: r.Properties.Status}, Body: arm.Stream{
			ContentType: "text/plain; charset=utf-8",
			Write: func(ctx context.Context, w io.Writer) error {
				_, err := view.copy(ctx, offset, true, w)
				return err
			},
		}}, nil
	}
	var part limited
	next, err := view.copy(ctx, offset, false, &part)
	if err != nil && !errors.Is(err, errFull) {
		return nil, err
	}
	return logPart(part.Bytes(), next, view.status), nil
}

func logPart(text []byte, next int64, status string) *arm.Response {
	return &arm.Response{Status: 200, Body: arm.Text(text), Header: map[string]string{nextOffsetHeader: strconv.FormatInt(next, 10), jobStatusHeader: status}}
}

// countOf reads a number from 0 of a query; 0 when it is not there.
func countOf(call *arm.Call, name string) (int64, error) {
	text := call.QueryValue(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, resource.Invalidf("InvalidParameter", "%s is %q; a number from 0 was expected", name, text).At(name)
	}
	return n, nil
}

// limited takes maxPart bytes.
type limited struct{ bytes.Buffer }

var errFull = errors.New("the part is full")

func (l *limited) Write(p []byte) (int, error) {
	if left := maxPart - l.Len(); len(p) > left {
		n, _ := l.Buffer.Write(p[:left]) // never fails
		return n, errFull
	}
	return l.Buffer.Write(p)
}

// logView is one reader of a job's log.
type logView struct {
	*JobRunner
	id     resource.ID
	node   int    // whose output alone is wanted; -1 for the whole log
	status string // of the job, when it was last looked at
}

// copy copies the log from an offset on, and gives the offset after it. With follow it waits for more until the job has ended.
func (v *logView) copy(ctx context.Context, offset int64, follow bool, w io.Writer) (int64, error) {
	for {
		more := v.watch(v.id) // before looking, so that nothing is missed
		job, err := readJob(ctx, v.Manager.Store, v.id)
		if err != nil {
			return offset, err
		}
		v.status = job.Properties.Status
		before := offset
		if offset, err = v.copyNow(ctx, job, offset, follow, w); err != nil {
			return offset, err
		}
		switch {
		case offset > before && follow:
			continue // there may be more of another part
		case !follow, job.Properties.ended():
			return offset, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return offset, ctx.Err()
		case <-v.Done:
			return offset, nil
		}
	}
}

// copyNow copies what there is of a log; of the run's output, with follow, all of it until the run has ended.
func (v *logView) copyNow(ctx context.Context, job *arm.Resource[Job], offset int64, follow bool, w io.Writer) (int64, error) {
	kept := job.Properties.Run
	if kept == nil { // a pipeline
		return v.Logs.Copy(v.id, logHead, offset, w)
	}
	if v.node >= 0 {
		if !kept.Launched {
			return offset, nil
		}
		return v.copyRun(ctx, job, v.node, offset, follow, w)
	}
	if !kept.Launched {
		head, err := v.Logs.Size(v.id, logHead)
		if err == nil && offset < head {
			return v.Logs.Copy(v.id, logHead, offset, w)
		}
		if err != nil || !job.Properties.ended() {
			return offset, err
		}
		next, err := v.Logs.Copy(v.id, logTail, offset-head, w)
		return next + head, err
	}
	var err error
	if offset < kept.LogHead {
		if offset, err = v.copyHead(offset, kept.LogHead, w); err != nil || offset < kept.LogHead {
			return offset, err
		}
	}
	before := kept.LogHead + kept.LogBody
	if !job.Properties.ended() || offset < before {
		next, err := v.copyRun(ctx, job, 0, offset-kept.LogHead, follow, w)
		if offset = next + kept.LogHead; err != nil || !job.Properties.ended() {
			return offset, err
		}
	}
	if offset < before {
		return offset, nil
	}
	next, err := v.Logs.Copy(v.id, logTail, offset-before, w)
	return next + before, err
}

// copyHead copies what was said before the run, and nothing that was said later.
func (v *logView) copyHead(offset, end int64, w io.Writer) (int64, error) {
	next, err := v.Logs.Copy(v.id, logHead, offset, &until{w, end - offset})
	return min(next, end), err
}

// until passes so many bytes on, and takes the others without passing them on.
type until struct {
	w    io.Writer
	left int64
}

func (u *until) Write(p []byte) (int, error) {
	part := p[:min(int64(len(p)), u.left)]
	n, err := u.w.Write(part)
	u.left -= int64(n)
	if err != nil {
		return n, err
	}
	return len(p), nil
}

func (v *logView) copyRun(ctx context.Context, job *arm.Resource[Job], node int, offset int64, follow bool, w io.Writer) (int64, error) {
	run, err := v.open(ctx, job)
	if err != nil || run == nil {
		return offset, err
	}
	if follow { // not longer than the server lives
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-v.Done:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	next, err := run.Logs(ctx, node, offset, follow, w)
	select {
	case <-v.Done:
		if errors.Is(err, context.Canceled) {
			err = nil
		}
	default:
	}
	return next, err
}

// open gives the run of a job: the one that is carried out here, or else what is kept of it; nil when there is none.
func (r *JobRunner) open(ctx context.Context, job *arm.Resource[Job]) (workload.Launched, error) {
	r.mu.Lock()
	live := r.live[job.ID.Key()]
	var run workload.Launched
	if live != nil {
		run = live.run
	}
	r.mu.Unlock()
	if run != nil {
		return run, nil
	}
	if kept := job.Properties.Run; kept == nil || !kept.Launched {
		return nil, nil
	}
	run, err := r.Launcher.Open(ctx, *job.Properties.Run.Order)
	if resource.KindOf(err) == resource.NotFound {
		return nil, nil
	}
	return run, err
}

// metric is one line of what a run measures: its name, its value, and when.
type metric = json.RawMessage

// jobMetrics gives what a job has measured so far, from ?offset=, in bytes of what the run wrote: {"value": [{name, value, step, time}],
// "nextOffset": N}. Lines that are no JSON objects are left out.
func (d Deps) jobMetrics(ctx context.Context, call *arm.Call, r *arm.Resource[Job]) (any, error) {
	offset, err := countOf(call, "offset")
	if err != nil {
		return nil, err
	}
	value := []metric{}
	run, err := d.Runner.openFor(ctx, r)
	if err != nil || run == nil {
		return map[string]any{"value": value, "nextOffset": offset}, err
	}
	var part limited
	if _, err := run.Metrics(offset, &part); err != nil && !errors.Is(err, errFull) {
		return nil, err
	}
	text, next := part.Bytes(), offset
	for {
		end := bytes.IndexByte(text, '\n')
		if end < 0 {
			break
		}
		var fields map[string]any
		if line := bytes.TrimSpace(text[:end]); json.Unmarshal(line, &fields) == nil && fields != nil {
			value = append(value, bytes.Clone(line))
		}
		text, next = text[end+1:], next+int64(end)+1
	}
	if len(text) == maxPart { // a line that never ends
		next += maxPart
	}
	return map[string]any{"value": value, "nextOffset": next}, nil
}

// openFor is open for jobs of any type.
func (r *JobRunner) openFor(ctx context.Context, job *arm.Resource[Job]) (workload.Launched, error) {
	if job.Properties.Run == nil {
		return nil, nil
	}
	return r.open(ctx, job)
}

// artifactFolder is the folder of the working folder whose files are kept.
const artifactFolder = "outputs/"

// jobArtifacts names the files that a job has left: {"value": [{path, size}]}, by their paths below the working folder, such as
// outputs/model.bin.
func (d Deps) jobArtifacts(ctx context.Context, _ *arm.Call, r *arm.Resource[Job]) (any, error) {
	value := []map[string]any{}
	run, err := d.Runner.openFor(ctx, r)
	if err != nil || run == nil {
		return map[string]any{"value": value}, err
	}
	files, err := run.Artifacts()
	for _, file := range files {
		value = append(value, map[string]any{"path": artifactFolder + file.Path, "size": file.Size})
	}
	return map[string]any{"value": value}, err
}

// JobViews are the endpoints of jobs that are no resource: …/jobs/NAME/artifacts/content?path=PATH gives the bytes of an artifact.
func (d Deps) JobViews() []arm.View {
	idOf := func(p map[string]string) resource.ID {
		id, err := resource.ParseID("/subscriptions/" + p["subscription"] + "/resourceGroups/" + p["group"] + "/providers/" + string(workspaceType) + "/" + p["workspace"] + "/jobs/" + p["job"])
		if err != nil {
			return resource.Root // where nothing of that name is, and hardly anybody may read
		}
		return id
	}
	return []arm.View{{
		Pattern: "/subscriptions/{subscription}/resourceGroups/{group}/providers/" + string(workspaceType) + "/{workspace}/jobs/{job}/artifacts/content",
		Action:  string(jobType) + "/read", Scope: idOf,
		Run: func(ctx context.Context, call *arm.Call, params map[string]string) (any, error) {
			job, err := readJob(ctx, call.Manager.Store, idOf(params))
			if resource.KindOf(err) == resource.NotFound {
				err = resource.NotFoundf("ResourceNotFound", "The workspace %s has no job %q.", params["workspace"], params["job"])
			}
			if err != nil {
				return nil, err
			}
			return d.artifactContent(ctx, call, job)
		},
	}}
}

func (d Deps) artifactContent(ctx context.Context, call *arm.Call, job *arm.Resource[Job]) (any, error) {
	path := call.QueryValue("path")
	if path == "" {
		return nil, resource.Invalidf("InvalidParameter", "path is missing; the path of an artifact was expected, such as outputs/model.bin").At("path")
	}
	missing := resource.NotFoundf("ArtifactNotFound", "The job %s has no artifact %q.", job.Name, path)
	run, err := d.Runner.openFor(ctx, job)
	if err != nil {
		return nil, err
	}
	if run == nil {
		return nil, missing
	}
	below, found := strings.CutPrefix(path, artifactFolder)
	if !found {
		return nil, missing
	}
	content, err := run.OpenArtifact(below)
	if resource.KindOf(err) == resource.NotFound {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	return &arm.Response{Status: 200, Body: arm.Stream{ContentType: "application/octet-stream", Write: func(_ context.Context, w io.Writer) error {
		defer func() { _ = content.Close() }() // only read
		_, err := io.Copy(w, content)
		return err
	}}}, nil
}
