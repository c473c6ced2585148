package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/alvara-ml/alvara/dataplane/blob"
	"github.com/alvara-ml/alvara/resource"
)

// taskAccount is the name of the storage account that holds the sources and logs of registries' builds. It is no resource: nobody
// can list, assign or delete it, and its only keys are the URLs that the server signs, each for one blob and a short time.
const taskAccount = "alvaratasks"

var taskAccountID = resource.Root.Child("Alvara.Tasks/storageAccounts", taskAccount)

const (
	uploadTime  = 4 * time.Hour          // how long an upload URL holds
	logLinkTime = 12 * time.Hour         // how long the URL of a log holds
	logPart     = 1 << 20                // bytes of a log that are kept back at most
	logMost     = 64 << 20               // bytes of a log; what a build prints beyond is left out, but for the last words
	logDelay    = 300 * time.Millisecond // how long lines of a log are kept back at most
)

// taskCatalog adds the account to a catalog. Its containers are named for registries' keys, and exist without being made.
type taskCatalog struct {
	blob.Catalog
	key []byte
}

func (c taskCatalog) Account(ctx context.Context, name string) (blob.Account, error) {
	if strings.EqualFold(name, taskAccount) {
		return blob.Account{ID: taskAccountID, Name: taskAccount, AllowSharedKey: true, Keys: [][]byte{c.key}}, nil
	}
	return c.Catalog.Account(ctx, name)
}

func (c taskCatalog) Container(ctx context.Context, account, name string) (blob.Container, error) {
	if strings.EqualFold(account, taskAccount) {
		return blob.Container{ID: taskAccountID.Child("containers", name), Account: taskAccount, Name: name, Key: taskContainer(name)}, nil
	}
	return c.Catalog.Container(ctx, account, name)
}

func (c taskCatalog) CreateContainer(ctx context.Context, account, name string, metadata map[string]string) (blob.Container, error) {
	if strings.EqualFold(account, taskAccount) {
		return blob.Container{}, errTaskAccount()
	}
	return c.Catalog.CreateContainer(ctx, account, name, metadata)
}

func (c taskCatalog) DeleteContainer(ctx context.Context, account, name string) error {
	if strings.EqualFold(account, taskAccount) {
		return errTaskAccount()
	}
	return c.Catalog.DeleteContainer(ctx, account, name)
}

func errTaskAccount() error {
	return resource.Forbiddenf("AuthorizationFailure", "The storage account %q belongs to the server.", taskAccount)
}

func taskContainer(registryKey string) string { return "tasks-" + registryKey }

// taskFiles are the sources and logs of builds, as the registry provider works with them.
type taskFiles struct {
	key      []byte
	endpoint func(account string) (blob, dfs string)
	handler  http.Handler // the blob plane
	objects  interface {
		Drop(ctx context.Context, containerKey string) error
	}
	clock func() time.Time
}

func (t *taskFiles) url(registryKey, path, permissions string, life time.Duration) string {
	base, _ := t.endpoint(taskAccount)
	return base + registryKey + "/" + path + "?" + blob.SignBlob(taskAccount, t.key, registryKey, path, permissions, t.clock().Add(life))
}

// Source makes a place for the source of a build: a URL to upload it to, and the path by which the request for the build names it.
func (t *taskFiles) Source(_ context.Context, registryKey string) (uploadURL, path string, err error) {
	path = "source/" + t.clock().UTC().Format("20060102150405") + "/" + uuid.NewString() + ".tar.gz"
	return t.url(registryKey, path, "cw", uploadTime), path, nil
}

// ReadSource gives the URL by which a build reads its source; NotFound when nothing was uploaded.
func (t *taskFiles) ReadSource(ctx context.Context, registryKey, path string, valid time.Duration) (string, error) {
	if !sourcePath.MatchString(path) {
		return "", resource.NotFoundf("SourceNotFound", "sourceLocation is %q; the relativePath that listBuildSourceUploadUrl gave was expected", path).At("sourceLocation")
	}
	if err := t.send(ctx, http.MethodHead, t.url(registryKey, path, "r", time.Minute), nil, nil); err != nil {
		return "", err
	}
	return t.url(registryKey, path, "r", valid), nil
}

var sourcePath = regexp.MustCompile(`^source/[0-9]{14}/[0-9a-f-]{36}\.tar\.gz$`)

// LogLink gives the URL of a run's log; NotFound when there is none.
func (t *taskFiles) LogLink(ctx context.Context, registryKey, run string) (string, error) {
	if err := t.send(ctx, http.MethodHead, t.url(registryKey, logPath(run), "r", time.Minute), nil, nil); err != nil {
		return "", err
	}
	return t.url(registryKey, logPath(run), "r", logLinkTime), nil
}

// ForgetRun forgets the log of a run and its source, which may be "".
func (t *taskFiles) ForgetRun(ctx context.Context, registryKey, run, source string) error {
	if err := t.forget(ctx, registryKey, logPath(run)); err != nil || !sourcePath.MatchString(source) {
		return err
	}
	return t.forget(ctx, registryKey, source)
}

// Drop forgets everything of a registry.
func (t *taskFiles) Drop(ctx context.Context, registryKey string) error {
	return t.objects.Drop(ctx, taskContainer(registryKey))
}

func logPath(run string) string { return "logs/" + run + "/rawtext.log" }

func (t *taskFiles) forget(ctx context.Context, registryKey, path string) error {
	err := t.send(ctx, http.MethodDelete, t.url(registryKey, path, "d", time.Minute), nil, nil)
	if resource.KindOf(err) == resource.NotFound {
		return nil
	}
	return err
}

func (t *taskFiles) create(ctx context.Context, registryKey, path string) error {
	err := t.send(ctx, http.MethodPut, t.url(registryKey, path, "cw", time.Minute), nil, map[string]string{
		"x-ms-blob-type": string(blob.AppendBlob), "Content-Type": "text/plain; charset=utf-8", "If-None-Match": "*",
	})
	if resource.KindOf(err) == resource.Conflict {
		return nil // it is there
	}
	return err
}

// OpenLog opens a run's log for more lines.
func (t *taskFiles) OpenLog(ctx context.Context, registryKey, run string) (*taskLog, error) {
	if err := t.create(ctx, registryKey, logPath(run)); err != nil {
		return nil, err
	}
	return &taskLog{files: t, registryKey: registryKey, path: logPath(run)}, nil
}

// taskLog is a log that is being written. Its methods may be called concurrently.
type taskLog struct {
	files       *taskFiles
	registryKey string
	path        string

	mu      sync.Mutex
	pending bytes.Buffer
	written int64    // bytes that were given to pending, by this process
	left    int64    // lines that were left out since the log was full
	last    []string // the last of them
	timer   *time.Timer
	err     error
}

// lastWords is how many lines of a log that is full are shown after all: the reason of a failure is among them.
const lastWords = 50

// Write adds a line. What cannot be written, such as on a full disk, costs lines of the log and not the build.
func (l *taskLog) Write(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.written+int64(len(text)) > logMost {
		l.left++
		l.last = append(l.last[max(0, len(l.last)-lastWords+1):], text[:min(len(text), 4<<10)])
		return
	}
	l.add(text)
	if l.pending.Len() >= logPart {
		l.flush()
		return
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(logDelay, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.flush()
		})
	}
}

// add is called with the lock held.
func (l *taskLog) add(text string) {
	l.written += int64(len(text)) + 2
	l.pending.WriteString(text)
	l.pending.WriteString("\r\n") // az shows what it has at this end of a line, and else nothing before the log is complete
}

// flush writes what is pending. It is called with the lock held.
func (l *taskLog) flush() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	for l.pending.Len() > 0 {
		part := bytes.Clone(l.pending.Next(logPart))
		err := l.files.send(context.Background(), http.MethodPut, l.files.url(l.registryKey, l.path, "a", time.Minute)+"&comp=appendblock", part, nil)
		if err != nil && l.err == nil {
			l.err = err
		}
	}
}

// Complete writes the rest and says how the run ended, which ends those who follow the log.
func (l *taskLog) Complete(outcome string) error {
	failed := l.Close()
	err := l.files.send(context.Background(), http.MethodPut, l.files.url(l.registryKey, l.path, "w", time.Minute)+"&comp=metadata", nil, map[string]string{"x-ms-meta-Complete": outcome})
	return errors.Join(failed, err)
}

// Close writes the rest.
func (l *taskLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left > 0 {
		l.add(fmt.Sprintf("The log has more than %d MiB; %d lines are left out here.", logMost>>20, l.left-int64(len(l.last))))
		for _, line := range l.last {
			l.add(line)
		}
		l.left, l.last = 0, nil
	}
	l.flush()
	failed := l.err
	l.err = nil
	return failed
}

// put uploads a blob to a URL that Source gave.
func (t *taskFiles) put(ctx context.Context, address string, content io.Reader, size int64) error {
	return t.stream(ctx, http.MethodPut, address, content, size, map[string]string{"x-ms-blob-type": string(blob.BlockBlob), "Content-Type": "application/octet-stream"})
}

func (t *taskFiles) send(ctx context.Context, method, address string, body []byte, headers map[string]string) error {
	return t.stream(ctx, method, address, bytes.NewReader(body), int64(len(body)), headers)
}

// stream makes a request of the blob plane, through its pipeline like everybody. The size of the body is in bytes.
func (t *taskFiles) stream(ctx context.Context, method, address string, body io.Reader, size int64, headers map[string]string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), io.NopCloser(body)) // whoever opened it closes it
	if err != nil {
		return err
	}
	r.ContentLength = size
	r.Header.Set("x-ms-version", "2021-12-02")
	r.Header.Set("Content-Length", strconv.FormatInt(size, 10))
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	r.RequestURI, r.RemoteAddr, r.TLS = u.RequestURI(), "127.0.0.1:0", inProcess
	w := &response{header: http.Header{}}
	t.handler.ServeHTTP(w, r)
	switch {
	case w.status < 300:
		return nil
	case w.status == http.StatusNotFound:
		return resource.NotFoundf("BlobNotFound", "the blob does not exist")
	case w.status == http.StatusConflict, w.status == http.StatusPreconditionFailed:
		return resource.Conflictf("BlobAlreadyExists", "the blob exists")
	}
	return fmt.Errorf("%s of a build's file: %d %s", method, w.status, w.body.String())
}
