package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/wire"
)

// registryRun is one run of a registry: its resource id, and where its log goes.
type registryRun struct {
	call *Call
	path string // …/registries/R/runs/ID
	out  io.Writer
	// asked and linked ask for the run and for its log's URL where that is not done at the run itself: who has a workspace
	// build may not look into its registry. nil asks the run.
	asked, linked func() (*document.Object, error)

	link     string // URL of the log, with its own short-lived right to read it
	renewed  bool   // the link has just been asked for
	offset   int64  // how much of the log is shown
	carriage bool   // the last byte of it is a carriage return that was held back
}

func runPath(registry, id string) string { return registry + "/runs/" + segment(id) }

func (r *registryRun) get() (*document.Object, error) {
	if r.asked != nil {
		return r.asked()
	}
	return r.call.arm(http.MethodGet, r.path, registryRunsAPI, nil)
}

func runEnded(run *document.Object) bool {
	switch run.Text("properties", "status") {
	case "Succeeded", "Failed", "Canceled", "Error", "Timeout":
		return true
	}
	return false
}

// runError is why a run that ended did not succeed; nil when it did.
func runError(run *document.Object) error {
	p := run.Object("properties")
	status := p.Text("status")
	if status == "Succeeded" {
		return nil
	}
	id := first(p.Text("runId"), run.Text("name"))
	return &wire.Error{Code: "Run" + status, Message: fmt.Sprintf("the run %s ended as %s: %s", id, status,
		first(p.Text("runErrorMessage"), "its log says why"))}
}

// finish waits until the run has ended.
func (r *registryRun) finish() (*document.Object, error) {
	for step := 0; ; step++ {
		var run *document.Object
		err := r.call.patiently(func() (err error) {
			run, err = r.get()
			return err
		})
		if err != nil || runEnded(run) {
			return run, err
		}
		if err := r.call.client.Pause(r.call.ctx, wire.Backoff(step)); err != nil {
			return nil, err
		}
	}
}

// A run that is cut off leaves a log that nobody marks as complete.
const (
	statusEvery = 5 // looks without news after which the run itself is asked whether it goes on
	lastLooks   = 5 // looks without news after which nothing more is expected of a run that has ended
)

// follow shows the log until it is complete, or its run has ended and nothing more comes.
func (r *registryRun) follow() error {
	ended := false
	for idle := 0; ; {
		var complete, moved bool
		err := r.call.patiently(func() (err error) {
			complete, moved, err = r.look()
			return err
		})
		if err != nil {
			return err
		}
		switch {
		case complete:
			return nil
		case moved:
			idle = 0
		default:
			idle++
		}
		if ended && idle >= lastLooks {
			return nil
		}
		if !ended && idle > 0 && idle%statusEvery == 0 {
			var run *document.Object
			if err := r.call.patiently(func() (err error) {
				run, err = r.get()
				return err
			}); err != nil {
				return err
			}
			if ended = runEnded(run); ended {
				idle = 0
			}
		}
		if err := r.call.client.Pause(r.call.ctx, wire.Backoff(idle)); err != nil {
			return err
		}
	}
}

// awayTries is how often a server that does not answer is asked again, about a minute in all: runs outlive its restarts.
const awayTries = 30

// patiently repeats a request while nothing answers, as when the server is started anew.
func (c *Call) patiently(ask func() error) error {
	for try := 0; ; try++ {
		err := ask()
		if err == nil || !away(err) || try == awayTries {
			return err
		}
		if try == 0 {
			c.Warn("the server does not answer; what was begun goes on with it, and so does this command when it is back")
		}
		if err := c.client.Pause(c.ctx, min(wire.Backoff(try), 2*time.Second)); err != nil {
			return err
		}
	}
}

// away tells whether an error is of a connection and not of an answer.
func away(err error) bool {
	var broken *net.OpError
	return errors.As(err, &broken) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// look shows what the log has got since the last look. complete says that nothing follows, moved that there was something.
func (r *registryRun) look() (complete, moved bool, err error) {
	if r.link == "" {
		if err := r.findLog(); err != nil || r.link == "" {
			return false, false, err
		}
	}
	head, err := r.log(http.MethodHead, "")
	if err != nil || head == nil {
		return false, false, err
	}
	head.Body.Close()
	complete = head.Header.Get("x-ms-meta-Complete") != ""
	before := r.offset
	for cut := 0; r.offset < head.ContentLength; {
		at := r.offset
		if err := r.copy(head.ContentLength); err != nil && (cut >= 3 || r.call.ctx.Err() != nil) {
			return false, false, err
		}
		if r.offset > at {
			cut = 0
			continue
		}
		cut++
		if err := r.call.client.Pause(r.call.ctx, wire.Backoff(cut)); err != nil {
			return false, false, err
		}
		if cut > 3 {
			return false, r.offset > before, nil // the log was promised and is not given; the next look asks again
		}
	}
	return complete, r.offset > before, nil
}

// findLog asks for the log's URL. There is none before the run has written to it.
func (r *registryRun) findLog() error {
	ask := r.linked
	if ask == nil {
		ask = func() (*document.Object, error) {
			return r.call.arm(http.MethodPost, r.path+"/listLogSasUrl", registryRunsAPI, nil)
		}
	}
	answer, err := ask()
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.link = answer.Text("logLink"); r.link == "" {
		return fmt.Errorf("the server names no log for the run %s", lastName(r.path))
	}
	return nil
}

// copy shows the log from the offset to end, as far as one answer brings it.
func (r *registryRun) copy(end int64) error {
	answer, err := r.log(http.MethodGet, fmt.Sprintf("bytes=%d-%d", r.offset, end-1))
	if err != nil || answer == nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK { // the whole log: the range was not understood
		if _, err := io.CopyN(io.Discard, answer.Body, r.offset); err != nil {
			return err
		}
	}
	n, err := io.Copy((*logLines)(r), answer.Body)
	r.offset += n
	return err
}

// logLines writes a log, whose lines end as on the wire, with the ends that lines have here.
type logLines registryRun

func (l *logLines) Write(part []byte) (int, error) {
	text := part
	if l.carriage {
		text = append([]byte{'\r'}, part...)
	}
	if l.carriage = bytes.HasSuffix(text, []byte{'\r'}); l.carriage { // its line feed may be in the next part
		text = text[:len(text)-1]
	}
	if _, err := l.out.Write(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))); err != nil {
		return 0, err
	}
	return len(part), nil
}

// log asks the store for the log. No answer means that there is none yet, or that a new link is needed first.
func (r *registryRun) log(method, span string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(r.call.ctx, method, r.link, nil)
	if err != nil {
		return nil, errors.New("the server names a log that has no proper URL")
	}
	request.Header.Set("x-ms-version", storageVersion)
	if span != "" {
		request.Header.Set("Range", span)
	}
	answer, err := r.call.client.HTTP.Do(request)
	if err != nil {
		return nil, withoutQuery(err)
	}
	switch answer.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		r.renewed = false
		return answer, nil
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusNotFound, http.StatusRequestedRangeNotSatisfiable, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return nil, nil
	case http.StatusForbidden, http.StatusUnauthorized: // the link's right has run out
		if !r.renewed {
			r.link, r.renewed = "", true
			return nil, r.findLog()
		}
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	return nil, wire.ReadError(answer.StatusCode, answer.Header, text)
}

// cancel asks the server to end the run, also when the command itself has been stopped.
func (r *registryRun) cancel() error {
	detached, stop := r.call.detached(15 * time.Second)
	defer stop()
	_, err := detached.armFinish(http.MethodPost, r.path+"/cancel", registryRunsAPI, nil, "Cancelling run "+lastName(r.path), false)
	return err
}

// detached is the same call with a time of its own, for what must be done although the command was stopped.
func (c *Call) detached(limit time.Duration) (*Call, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), limit)
	copied := *c
	copied.ctx = ctx
	return &copied, cancel
}

// storageVersion is the version of the blob protocol that links to sources and logs are used with.
const storageVersion = "2021-08-06"

// withoutQuery takes the query, in which a link's right is, out of the text of an error.
func withoutQuery(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		failed.URL, _, _ = strings.Cut(failed.URL, "?")
	}
	return err
}

// uploadSource sends a file with Put Blob to a link that brings its own right.
func (c *Call) uploadSource(link string, file *os.File, size int64, watch func(int64)) error {
	for attempt := 1; ; attempt++ {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		err := c.putBlob(link, file, size, watch)
		var refused *wire.Error
		final := err == nil || c.ctx.Err() != nil || (errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests)
		if final || attempt == 3 {
			return err
		}
		if err := c.client.Pause(c.ctx, time.Duration(attempt)*500*time.Millisecond); err != nil {
			return err
		}
	}
}

func (c *Call) putBlob(link string, file *os.File, size int64, watch func(int64)) error {
	// The transport closes what it sends, and the file may have to be sent again.
	body := &watched{Reader: io.NewSectionReader(file, 0, size), watch: watch}
	request, err := http.NewRequestWithContext(c.ctx, http.MethodPut, link, body)
	if err != nil {
		return errors.New("the server names an address for the sources that is no proper URL")
	}
	request.ContentLength = size
	request.Header.Set("x-ms-version", storageVersion)
	request.Header.Set("x-ms-blob-type", "BlockBlob")
	request.Header.Set("Content-Type", "application/octet-stream")
	request.Header.Set("Content-Length", strconv.FormatInt(size, 10))
	answer, err := c.client.HTTP.Do(request)
	if err != nil {
		return fmt.Errorf("uploading the sources: %w", withoutQuery(err))
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return err
	}
	if answer.StatusCode >= 300 {
		return wire.ReadError(answer.StatusCode, answer.Header, text)
	}
	return nil
}

// watched tells how much of a reader has been read.
type watched struct {
	io.Reader
	watch func(int64)
	read  int64
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.read += int64(n)
	w.watch(w.read)
	return n, err
}
