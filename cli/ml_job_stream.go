package cli

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/wire"
)

// nextOffset is the header in which the server says from where to go on reading a log.
const nextOffset = "x-alvara-next-offset"

type jobStream struct {
	jobName
	Node int `help:"Of a job of several nodes, the rank of the one whose output is shown; the others have logs of their own."`
}

func (j *jobStream) Run(c *Call) error {
	job, err := j.follow(c, c.Program.Stdout)
	if err != nil {
		return err
	}
	return jobError(job)
}

// follow copies the job's log to out until the job has ended, and gives it. A command that is stopped leaves the job going on, and so does
// a server that is started anew.
func (j *jobStream) follow(c *Call, out io.Writer) (*document.Object, error) {
	path, err := j.path(c)
	if err != nil {
		return nil, err
	}
	log := jobLog{call: c, path: path, out: out}
	if j.Node > 0 {
		log.node = strconv.Itoa(j.Node)
	}
	job, err := log.follow()
	switch {
	case err == nil:
		c.Warn("the job %s ended as %s", j.Name, job.Text("properties", "status"))
		j.others(c, job)
	case c.ctx.Err() != nil, away(err):
		where := fmt.Sprintf("-n %s -w %s -g %s", j.Name, j.Workspace, j.ResourceGroup)
		c.Warn("the job %s goes on; `alvara ml job stream %s` shows its log again, `alvara ml job cancel %s` ends it", j.Name, where, where)
	}
	return job, err
}

// failedNode finds the node in the message of a job that failed.
var failedNode = regexp.MustCompile(`\bnode (\d+)\b`)

// others says where the logs of the other nodes are, and of which node a failure tells.
func (j *jobStream) others(c *Call, job *document.Object) {
	nodes := nodesOf(job)
	if nodes < 2 {
		return
	}
	if found := failedNode.FindStringSubmatch(job.Text("properties", "error", "message")); found != nil {
		if rank, err := strconv.Atoi(found[1]); err == nil && rank < nodes && rank != j.Node {
			c.Warn("it was node %d of %d that failed; its log: alvara ml job stream -n %s -w %s -g %s --node %d", rank, nodes, j.Name, j.Workspace, j.ResourceGroup, rank)
			return
		}
	}
	if j.Node == 0 {
		c.Warn("it ran on %d nodes, and this is the log of the first; --node RANK shows another's", nodes)
	}
}

// follow copies the log until the job has ended.
func (l *jobLog) follow() (*document.Object, error) {
	c := l.call
	for idle := 0; ; idle++ {
		// The status is read before the log: when it is a final one, the log that follows is whole.
		var job *document.Object
		var moved bool
		err := c.patiently(func() (err error) {
			job, err = c.arm(http.MethodGet, l.path, machineLearnAPI, nil)
			return err
		})
		if err != nil {
			return nil, err
		}
		ended := jobEnded(job.Text("properties", "status"))
		for more := true; more; {
			if err := c.patiently(func() (err error) {
				more, err = l.copy(!ended)
				return err
			}); err != nil {
				return nil, err
			}
			moved = moved || more
			more = more && ended
		}
		if ended {
			return job, nil
		}
		if moved {
			idle = 0
		}
		if err := c.client.Pause(c.ctx, wire.Backoff(idle)); err != nil {
			return nil, err
		}
	}
}

// jobLog is a job's log, and how much of it has been shown.
type jobLog struct {
	call   *Call
	path   string // of the job
	node   string // the rank of a node, "" for the job's own log
	out    io.Writer
	offset int64
}

// copy writes what the log has got, and tells whether there was something. With follow it goes on writing what comes, as long as the
// server sends it.
func (l *jobLog) copy(follow bool) (bool, error) {
	request, err := l.call.armRequest(http.MethodGet, l.path+"/logs", machineLearnAPI, nil)
	if err != nil {
		return false, err
	}
	request.Query.Set("offset", strconv.FormatInt(l.offset, 10))
	if l.node != "" {
		request.Query.Set("node", l.node)
	}
	if follow {
		request.Query.Set("follow", "true")
	}
	request.Header = http.Header{"Accept": {"text/plain"}}
	answer, err := l.call.client.Open(l.call.ctx, request, nil)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusNotFound, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return false, nil // the job has not written a line yet, or the server is busy
	}
	before := l.offset
	err = readAnswer(counted{l}, answer)
	if next, parseErr := strconv.ParseInt(answer.Header.Get(nextOffset), 10, 64); parseErr == nil && err == nil {
		l.offset = max(next, before)
	}
	return l.offset > before, err
}

// counted writes to the log's place and counts what was written, so that a log that is cut off goes on where it was.
type counted struct{ *jobLog }

func (c counted) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	c.offset += int64(n)
	return n, err
}

// readAnswer writes the body of an answer as it comes; a refusal is an *wire.Error.
func readAnswer(w io.Writer, answer *http.Response) error {
	if answer.StatusCode >= 400 {
		text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		if err != nil {
			return err
		}
		return wire.ReadError(answer.StatusCode, answer.Header, text)
	}
	_, err := io.Copy(w, answer.Body)
	return err
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
		failed.Message = fmt.Sprintf("the job %s ended as %s: %s", name, status, strings.TrimSpace(failed.Message))
		return failed
	}
	reason := first(job.Text("properties", "properties", "error"), job.Text("properties", "error"), job.Text("properties", "properties", "alvara.canceled"), "its log says more")
	return &wire.Error{Code: "Job" + status, Message: fmt.Sprintf("the job %s ended as %s: %s", name, status, reason)}
}
