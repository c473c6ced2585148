package machinelearning_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/identity"
	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/workload"
)

// errDead is what everything answers to a server that was killed.
var errDead = errors.New("the server was killed")

// life is the life of one server: it counts the calls that the server makes of what outlives it, and ends at one of them, before or
// after the call is carried out.
type life struct {
	mu     sync.Mutex
	count  int
	end    int // the call at which it ends; 0 is none
	after  bool
	killed bool
}

func (l *life) call(do func() error) error {
	l.mu.Lock()
	l.count++
	last := l.count == l.end
	if l.killed || last && !l.after {
		l.killed = true
		l.mu.Unlock()
		return errDead
	}
	l.mu.Unlock()
	err := do()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.killed = l.killed || last; l.killed {
		return errDead
	}
	return err
}

// lifeStore is a store in the life of one server.
type lifeStore struct {
	store.Store
	life *life
}

func (s lifeStore) Apply(ctx context.Context, ops ...store.Op) (docs []store.Document, err error) {
	err = s.life.call(func() error { docs, err = s.Store.Apply(ctx, ops...); return err })
	return docs, err
}

// machine is what outlives servers: runs, by their ids. A run whose command is "forever" ends when it is told to; all others have ended
// when somebody waits for them.
type machine struct {
	mu        sync.Mutex
	runs      map[string]*machineRun
	launches  int
	delivered int
	forgotten int
	refuse    []error // answers of the next launches
	failDeliver,
	failWait []error
	status job.Status
}

type machineRun struct {
	machine  *machine
	order    workload.Order
	canceled chan struct{}
	once     sync.Once
}

// launcher is the machine in the life of one server.
type launcher struct {
	*machine
	life    *life
	waiting chan struct{} // is told when somebody waits for a run that does not end
}

func (launcher) Isolation() job.Isolation { return job.Isolation{Level: "sandbox"} }

func (l launcher) Launch(_ context.Context, order workload.Order, tell func(string)) (run workload.Launched, err error) {
	err = l.life.call(func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.refuse) > 0 {
			err := l.refuse[0]
			l.refuse = l.refuse[1:]
			return err
		}
		kept := l.runs[order.ID]
		if kept == nil {
			kept = &machineRun{machine: l.machine, order: order, canceled: make(chan struct{})}
			l.runs[order.ID] = kept
			l.launches++
		}
		tell("the image is pulled")
		run = launched{kept, l}
		return nil
	})
	return run, err
}

func (l launcher) Open(_ context.Context, order workload.Order) (run workload.Launched, err error) {
	err = l.life.call(func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		kept := l.runs[order.ID]
		if kept == nil {
			return resource.NotFoundf("RunNotFound", "there is none")
		}
		run = launched{kept, l}
		return nil
	})
	return run, err
}

func (l launcher) Forget(id string) error {
	return l.life.call(func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.runs[id] != nil {
			l.forgotten++
		}
		delete(l.runs, id)
		return nil
	})
}

type launched struct {
	*machineRun
	launcher launcher
}

func (r launched) ID() string                  { return r.order.ID }
func (r launched) Spec() (job.Spec, error)     { return job.Spec{}, nil }
func (r launched) Remove() error               { return nil }
func (r launched) Release() error              { return r.launcher.life.call(func() error { return nil }) }
func (r launched) Status() (job.Status, error) { return r.now(), nil }

const output = "what it wrote\n"

func (r launched) now() job.Status {
	r.machine.mu.Lock()
	defer r.machine.mu.Unlock()
	status := r.machine.status
	if status.State == "" {
		status = job.Status{State: job.Completed}
	}
	select {
	case <-r.canceled:
		status = job.Status{State: job.Canceled, Message: "it was told to"}
	default:
		if r.order.Command[0] == "forever" {
			return job.Status{State: job.Running, Begun: time.Now(), Nodes: []job.Node{{}}}
		}
	}
	status.Begun, status.Ended = time.Now(), time.Now()
	status.Nodes = []job.Node{{Ended: true, LogBytes: int64(len(output))}}
	return status
}

func (r launched) Wait(ctx context.Context) (status job.Status, err error) {
	err = r.launcher.life.call(func() error {
		r.machine.mu.Lock()
		if len(r.machine.failWait) > 0 {
			err := r.machine.failWait[0]
			r.machine.failWait = r.machine.failWait[1:]
			r.machine.mu.Unlock()
			return err
		}
		r.machine.mu.Unlock()
		if status = r.now(); status.State.Ended() {
			return nil
		}
		if ctx.Err() == nil {
			close(r.launcher.waiting)
		}
		select {
		case <-r.canceled:
			status = r.now()
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return status, err
}

func (r launched) Cancel(context.Context) error {
	return r.launcher.life.call(func() error { r.once.Do(func() { close(r.canceled) }); return nil })
}

func (r launched) Logs(ctx context.Context, _ int, offset int64, follow bool, w io.Writer) (int64, error) {
	n, err := io.WriteString(w, output[min(offset, int64(len(output))):])
	if follow && !r.now().State.Ended() {
		select {
		case <-r.canceled:
		case <-ctx.Done():
			return offset + int64(n), ctx.Err()
		}
	}
	return offset + int64(n), err
}

func (r launched) Deliver(context.Context, func(string)) error {
	return r.launcher.life.call(func() error {
		r.machine.mu.Lock()
		defer r.machine.mu.Unlock()
		if len(r.machine.failDeliver) > 0 {
			err := r.machine.failDeliver[0]
			r.machine.failDeliver = r.machine.failDeliver[1:]
			return err
		}
		r.machine.delivered++
		return nil
	})
}

func (launched) Artifacts() ([]workload.Artifact, error) {
	return []workload.Artifact{{Path: "model.bin", Size: 5}}, nil
}

func (launched) OpenArtifact(string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("model")), nil
}
func (launched) Metrics(offset int64, _ io.Writer) (int64, error) { return offset, nil }
func (launched) Dial(context.Context) (net.Conn, error)           { return nil, errDead }

// jobWorld is a world with a cluster of one node, an environment, and machines on which servers live and die.
type jobWorld struct {
	*world
	machine *machine
	logs    *machinelearning.JobLogs
}

func newJobs(t testing.TB) *jobWorld {
	w := &jobWorld{world: newWorld(t), machine: &machine{runs: map[string]*machineRun{}}, logs: &machinelearning.JobLogs{Dir: t.TempDir()}}
	w.must("PUT", registries+"images", object{"properties": object{"adminUserEnabled": false}})
	w.must("PUT", ws, object{"location": "local", "identity": object{"type": "SystemAssigned"}, "properties": object{"containerRegistry": registries + "images"}})
	w.must("PUT", ws+"/computes/cpu", object{"location": "local", "identity": object{"type": "SystemAssigned"}, "properties": object{"computeType": "AmlCompute"}})
	w.images.push("images", "task:1", "a")
	w.must("PUT", ws+"/environments/task/versions/1", object{"properties": object{"image": hostName("images") + "/task:1"}})
	return w
}

// submit submits a job with an output.
func (w *jobWorld) submit(name, command string) {
	w.t.Helper()
	w.must("PUT", ws+"/jobs/"+name, object{"properties": object{"jobType": "Command", "command": command, "environmentId": "azureml:task:1", "computeId": "cpu", "outputs": object{"made": object{}}}})
}

// server is a server of a life, with what it follows of the store.
func (w *jobWorld) server(l *life) (*machinelearning.JobRunner, launcher) {
	w.t.Helper()
	nodes, err := machinelearning.OpenNodes(w.store, 100, time.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	manager := *w.manager
	manager.Store = lifeStore{w.store, l}
	launcher := launcher{machine: w.machine, life: l, waiting: make(chan struct{})}
	return &machinelearning.JobRunner{
		Deps: w.deps, Manager: &manager, Launcher: launcher, Nodes: nodes, Logs: w.logs, Clock: time.Now, Log: slog.New(slog.DiscardHandler),
		Write: func(_ context.Context, _ identity.Principal, _, _, _ string, content io.Reader) error {
			return l.call(func() error { _, err := io.Copy(io.Discard, content); return err })
		},
	}, launcher
}

// live has a server of a life carry a job out, until it is done, is killed, or waits for what does not end.
func (w *jobWorld) live(l *life, name string) error {
	w.t.Helper()
	runner, launcher := w.server(l)
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	go func() {
		select {
		case <-launcher.waiting:
			stop()
		case <-ctx.Done():
		}
	}()
	body, err := json.Marshal(jobID(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return runner.Run(ctx, store.Job{Body: body, Attempt: 1, MaxAttempts: 1000})
}

func (w *jobWorld) status(name string) string {
	w.t.Helper()
	return w.must("GET", ws+"/jobs/"+name, nil).text("properties.status")
}

// Wherever a server is killed, the next one brings the job to the end that it would have had, and nothing is run twice.
func TestJobsSurviveEveryCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		for end := 1; ; end++ {
			what := fmt.Sprintf("killed at call %d (after it: %t)", end, after)
			w := newJobs(t)
			w.submit("job", "task say hello")
			first := &life{end: end, after: after}
			err := w.live(first, "job")
			if first.killed == (err == nil) && w.status("job") != "Completed" {
				t.Fatalf("%s: %v", what, err)
			}
			if err := w.live(&life{}, "job"); err != nil {
				t.Errorf("%s: the next server says %v", what, err)
			}
			if got := w.status("job"); got != "Completed" || w.machine.launches != 1 || w.machine.delivered < 1 {
				t.Errorf("%s: the job is %s, was launched %d times, and its output was delivered %d times", what, got, w.machine.launches, w.machine.delivered)
			}
			if !first.killed {
				if end < 8 {
					t.Fatalf("a job takes %d calls only", end)
				}
				break
			}
		}
	}
}

// Wherever a server is killed, a job that is canceled then is canceled by the next one, and ends when it runs.
func TestJobsAreCanceledAfterEveryCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		for end := 1; ; end++ {
			what := fmt.Sprintf("killed at call %d (after it: %t)", end, after)
			w := newJobs(t)
			w.submit("job", "forever")
			first := &life{end: end, after: after}
			if err := w.live(first, "job"); err == nil {
				t.Fatalf("%s: a job that runs forever has ended", what)
			}
			w.must("POST", ws+"/jobs/job/cancel", nil)
			if err := w.live(&life{}, "job"); err != nil {
				t.Errorf("%s: the next server says %v", what, err)
			}
			if got := w.status("job"); got != "Canceled" || w.machine.launches > 1 {
				t.Errorf("%s: the job is %s and was launched %d times", what, got, w.machine.launches)
			}
			for _, run := range w.machine.runs {
				if !(launched{machineRun: run}).now().State.Ended() {
					t.Errorf("%s: the job is over and its run goes on", what)
				}
			}
			if !first.killed {
				break
			}
		}
	}
}

// A cancellation finds the job wherever it is in the life of one server: while it waits for nodes and while it runs.
func TestJobsAreCanceledAnywhere(t *testing.T) {
	w := newJobs(t)
	w.submit("first", "forever")
	w.submit("second", "task say hello")
	runner, launcher := w.server(&life{})
	w.deps.Runner.Stop(jobID("first")) // of a server that does not carry it out: nothing
	ended := make(chan error, 2)
	begin := func(name string) {
		body, err := json.Marshal(jobID(name))
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- runner.Run(t.Context(), store.Job{Body: body, Attempt: 1, MaxAttempts: 1000}) }()
	}
	begin("first")
	<-launcher.waiting
	begin("second")
	for machinelearning.WaitingFor(runner.Nodes.(*machinelearning.NodeScheduler), computeID("cpu")) == 0 {
		time.Sleep(time.Millisecond)
	}
	for _, name := range []string{"second", "first"} {
		w.must("POST", ws+"/jobs/"+name+"/cancel", nil)
		runner.Stop(jobID(name))
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := w.status(name); got != "Canceled" {
			t.Errorf("%s is %s", name, got)
		}
	}
	if w.machine.launches != 1 {
		t.Errorf("%d jobs were launched; want 1", w.machine.launches)
	}
}

// What a job did wrong ends it at once; what the machine did wrong is tried again, a few times.
func TestJobFaults(t *testing.T) {
	broken, unavailable := errors.New("the disk is on fire"), resource.Errorf(resource.Unavailable, "NoSpace", "the disk is full")
	for name, c := range map[string]struct {
		refuse, failDeliver, failWait []error
		status                        job.Status
		lives                         int // servers or attempts that it takes
		want, code                    string
		says                          string
	}{
		"forbidden":            {refuse: []error{resource.Forbiddenf("ImagePullForbidden", "no role")}, lives: 1, want: "Failed", code: "ImagePullForbidden", says: "no role"},
		"not found":            {refuse: []error{resource.NotFoundf("FileNotFound", "no file")}, lives: 1, want: "Failed", code: "FileNotFound"},
		"once unavailable":     {refuse: []error{unavailable}, lives: 2, want: "Completed"},
		"often broken":         {refuse: []error{broken, broken, broken}, lives: 4, want: "Completed"},
		"always broken":        {refuse: []error{broken, broken, broken, broken, broken}, lives: 4, want: "Failed", code: "InternalServerError", says: "operator"},
		"wait fails":           {failWait: []error{broken, broken}, lives: 3, want: "Completed"},
		"delivery forbidden":   {failDeliver: []error{resource.Forbiddenf("AuthorizationPermissionMismatch", "no role")}, lives: 1, want: "Failed", code: "AuthorizationPermissionMismatch", says: "could not be stored: no role"},
		"delivery unavailable": {failDeliver: []error{unavailable, unavailable}, lives: 3, want: "Completed"},
		"exit":                 {status: job.Status{State: job.Failed, Reason: job.ExitCode, Message: "exit status 3"}, lives: 1, want: "Failed", code: "UserProcessFailed", says: "exit status 3"},
		"memory":               {status: job.Status{State: job.Failed, Reason: job.OutOfMemory, Message: "out of memory"}, lives: 1, want: "Failed", code: "OutOfMemory"},
		"timeout":              {status: job.Status{State: job.Failed, Reason: job.Timeout, Message: "too long"}, lives: 1, want: "Failed", code: "TimeoutExceeded"},
		"lost":                 {status: job.Status{State: job.Failed, Reason: job.Lost, Message: "its supervisor was killed"}, lives: 1, want: "Failed", code: "RunLost", says: "supervisor"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newJobs(t)
			w.machine.refuse, w.machine.failDeliver, w.machine.failWait, w.machine.status = c.refuse, c.failDeliver, c.failWait, c.status
			w.submit("job", "task say hello")
			for life := 1; life <= c.lives; life++ {
				if got := w.status("job"); slices.Contains([]string{"Completed", "Failed"}, got) {
					t.Fatalf("the job is %s before attempt %d", got, life)
				}
				if err := w.live(newLife(), "job"); (err == nil) != (life == c.lives) {
					t.Fatalf("attempt %d: %v", life, err)
				}
			}
			got := w.must("GET", ws+"/jobs/job", nil)
			if got.text("properties.status") != c.want || got.text("properties.error.code") != c.code || !strings.Contains(got.text("properties.error.message"), c.says) {
				t.Errorf("the job is %s", got.Raw)
			}
			if strings.Contains(got.Raw, "on fire") {
				t.Error("the job shows what is for the server's log alone")
			}
			if c.want == "Completed" && w.machine.delivered != 1 || w.machine.launches > 1 {
				t.Errorf("the job was launched %d times and delivered %d times", w.machine.launches, w.machine.delivered)
			}
		})
	}
}

// A role that is taken away while a job waits is taken away from the job too, as whoever it is to run; what has begun goes on.
func TestJobsOfThoseWhoMayNoMore(t *testing.T) {
	w := newJobs(t)
	who := w.person("scientist")
	role := w.grant(who, roleDataScientist, ws)
	submit := func(name, text string, more object) {
		t.Helper()
		more["command"] = text
		if got := w.as(who, "PUT", ws+"/jobs/"+name, command(more)); got.Status != 201 {
			t.Fatalf("%s: %d %s", name, got.Status, got.Raw)
		}
	}
	w.must("PUT", ws+"/computes/other", object{"location": "local", "identity": object{"type": "SystemAssigned"}, "properties": object{"computeType": "AmlCompute"}})
	submit("begun", "forever", object{"computeId": "other"})
	if err := w.live(newLife(), "begun"); err == nil {
		t.Fatal("it has ended")
	}
	submit("managed", "task run", object{})
	submit("user", "task run", object{"identity": object{"identityType": "UserIdentity"}})
	submit("cured", "task run", object{})
	w.must("DELETE", role, nil)
	for _, name := range []string{"managed", "user"} {
		if err := w.live(newLife(), name); err != nil {
			t.Fatal(err)
		}
		got, cure := w.must("GET", ws+"/jobs/"+name, nil), `alvara role assignment create --assignee `+who+` --role "AzureML Data Scientist" --scope `+ws
		if message := got.text("properties.error.message"); got.text("properties.status") != "Failed" || got.text("properties.error.code") != "SubmitterLacksRole" || !strings.Contains(message, cure) || !strings.Contains(message, "jobs/write") {
			t.Errorf("%s: %s", name, got.Raw)
		}
	}
	if _, err := w.store.Get(t.Context(), jobID("begun").Key()); err != nil || w.machine.launches != 1 || w.status("begun") != "Running" {
		t.Errorf("%d runs, what has begun is %s: %v", w.machine.launches, w.status("begun"), err)
	}
	w.grant(who, roleDataScientist, ws)
	if err := w.live(newLife(), "cured"); err != nil || w.status("cured") != "Completed" {
		t.Errorf("after the grant: %s %v", w.status("cured"), err)
	}
}

func newLife() *life { return &life{} }

// A job that was deleted leaves nothing that runs and nothing that is kept.
func TestDeletedJobsAreForgotten(t *testing.T) {
	w := newJobs(t)
	w.submit("job", "forever")
	if err := w.live(newLife(), "job"); err == nil {
		t.Fatal("it has ended")
	}
	doc, err := w.store.Get(t.Context(), jobID("job").Key())
	if err != nil {
		t.Fatal(err)
	}
	var kept arm.Resource[machinelearning.Job]
	decode(t, string(doc.Body), &kept)
	runner, _ := w.server(newLife())
	for range 2 { // it may be told twice
		if err := runner.Forget(t.Context(), jobID("job"), *kept.Properties.Run); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.machine.runs) != 0 || w.machine.forgotten != 1 {
		t.Errorf("runs: %v", w.machine.runs)
	}
	if size, err := w.logs.Size(jobID("job"), "head"); size != 0 || err != nil {
		t.Errorf("the log has %d bytes: %v", size, err)
	}
}
