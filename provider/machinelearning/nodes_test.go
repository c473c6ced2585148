package machinelearning_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/machinelearning/armmachinelearning/v4"

	"github.com/alvara-ml/alvara/provider/machinelearning"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

func jobID(name string) resource.ID { return resource.MustParseID(ws + "/jobs/" + name) }

func computeID(name string) resource.ID { return resource.MustParseID(ws + "/computes/" + name) }

// putJob writes the document of a job, as its handler would.
func (w *world) putJob(name, status, compute string, nodes int) {
	w.t.Helper()
	w.writeJob(name, object{"jobType": "Command", "status": status, "computeId": computeID(compute), "resources": object{"instanceCount": nodes}})
}

// writeJob writes the document of a job with these properties.
func (w *world) writeJob(name string, properties object) {
	w.t.Helper()
	id := jobID(name)
	body, err := json.Marshal(object{"id": id, "name": name, "type": id.Type(), "state": "Succeeded", "properties": properties})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Apply(w.t.Context(), store.Put{Key: id.Key(), Kind: id.Type().Key(), Body: body}); err != nil {
		w.t.Fatal(err)
	}
}

func scaled(least, most int, idle string) object {
	return clusterBody(nil, object{"scaleSettings": object{"minNodeCount": least, "maxNodeCount": most, "nodeIdleTimeBeforeScaleDown": idle}})
}

// states counts the nodes of a cluster by their states, as clients see them, and as the cluster itself says.
func (w *world) states(compute string) string {
	w.t.Helper()
	listed := w.must("POST", ws+"/computes/"+compute+"/listNodes", nil)
	counts, nodes := map[string]int{}, listed.get("nodes").([]any)
	for _, node := range nodes {
		n := answer{Body: node.(object)}
		counts[n.text("nodeState")]++
		if n.text("nodeId") == "" || (n.text("nodeState") == "idle") != (n.text("runId") == "") {
			w.t.Errorf("the node %v", node)
		}
	}
	shown := w.must("GET", ws+"/computes/"+compute, nil)
	p := func(name string) any { return shown.get("properties.properties." + name) }
	for state, field := range map[string]string{"idle": "idleNodeCount", "running": "runningNodeCount", "preparing": "preparingNodeCount"} {
		if p("nodeStateCounts."+field) != float64(counts[state]) {
			w.t.Errorf("%s: %v, and the nodes are %s", field, p("nodeStateCounts."+field), listed.Raw)
		}
	}
	if p("currentNodeCount") != float64(len(nodes)) {
		w.t.Errorf("currentNodeCount is %v, and the nodes are %s", p("currentNodeCount"), listed.Raw)
	}
	return fmt.Sprintf("%d idle, %d preparing, %d running, %v wanted, %v", counts["idle"], counts["preparing"], counts["running"], p("targetNodeCount"), p("allocationState"))
}

// A cluster's nodes come with the jobs, stay for a while, and never are fewer than the least.
func TestNodesComeAndGo(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	w.must("PUT", ws+"/computes/cpu", scaled(1, 3, "PT2M"))
	want := func(when, states string) {
		t.Helper()
		if got := w.states("cpu"); got != states {
			t.Errorf("%s: %s; want %s", when, got, states)
		}
	}
	want("at first", "1 idle, 0 preparing, 0 running, 1 wanted, Steady")
	release, err := w.nodes.Acquire(t.Context(), computeID("cpu"), 2, jobID("a"))
	if err != nil {
		t.Fatal(err)
	}
	want("with a job", "0 idle, 2 preparing, 0 running, 2 wanted, Steady")
	w.putJob("a", "Running", "cpu", 2)
	want("with a job that runs", "0 idle, 0 preparing, 2 running, 2 wanted, Steady")
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() {
		_, err := w.nodes.Acquire(ctx, computeID("cpu"), 2, jobID("b"))
		waited <- err
	}()
	for w.states("cpu") != "0 idle, 0 preparing, 2 running, 3 wanted, Resizing" {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who gave up: %v", err)
	}
	want("when the other has given up", "0 idle, 0 preparing, 2 running, 2 wanted, Steady")
	release()
	release()
	want("after the job", "2 idle, 0 preparing, 0 running, 2 wanted, Steady")
	w.later.Store(int64(119 * time.Second))
	want("a little later", "2 idle, 0 preparing, 0 running, 2 wanted, Steady")
	w.later.Store(int64(3 * time.Minute))
	want("later", "1 idle, 0 preparing, 0 running, 1 wanted, Steady")
	w.must("PATCH", ws+"/computes/cpu", object{"properties": object{"properties": object{"scaleSettings": object{"minNodeCount": 0, "maxNodeCount": 5}}}})
	want("without a least", "0 idle, 0 preparing, 0 running, 0 wanted, Steady")
	if _, err := w.nodes.Acquire(t.Context(), computeID("cpu"), 6, jobID("c")); resource.KindOf(err) != resource.Invalid || !strings.Contains(err.Error(), "--max-instances 6") {
		t.Errorf("more than the most: %v", err)
	}
	if _, err := w.nodes.Acquire(t.Context(), computeID("none"), 1, jobID("c")); resource.KindOf(err) != resource.NotFound {
		t.Errorf("of no compute: %v", err)
	}
}

// A job that waits gets its nodes when the cluster may grow, and is refused when the cluster shrinks or goes.
func TestNodesFollowTheCluster(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	w.must("PUT", ws+"/computes/cpu", scaled(0, 2, "PT0S"))
	grow := func(most int) {
		w.must("PATCH", ws+"/computes/cpu", object{"properties": object{"properties": object{"scaleSettings": object{"maxNodeCount": most}}}})
	}
	type result struct {
		release func()
		err     error
	}
	ask := func(n int, job string) chan result {
		out := make(chan result, 1)
		go func() {
			release, err := w.nodes.Acquire(context.Background(), computeID("cpu"), n, jobID(job))
			out <- result{release, err}
		}()
		return out
	}
	first := <-ask(2, "a")
	second := ask(2, "b")
	for !strings.Contains(w.states("cpu"), "Resizing") && !strings.Contains(w.states("cpu"), "2 preparing, 0 running, 2 wanted") {
		time.Sleep(time.Millisecond)
	}
	grow(4)
	granted := <-second
	if granted.err != nil {
		t.Fatal(granted.err)
	}
	third := ask(2, "c")
	for !waits(w.nodes, computeID("cpu")) {
		time.Sleep(time.Millisecond)
	}
	grow(1) // those that run keep their nodes
	if got := <-third; resource.KindOf(got.err) != resource.Invalid {
		t.Errorf("of a cluster that has shrunk: %v", got.err)
	}
	if got := w.states("cpu"); !strings.HasPrefix(got, "0 idle, 4 preparing") {
		t.Errorf("those that run: %s", got)
	}
	fourth := ask(1, "d")
	for !waits(w.nodes, computeID("cpu")) {
		time.Sleep(time.Millisecond)
	}
	w.must("DELETE", ws+"/computes/cpu", nil)
	if got := <-fourth; resource.KindOf(got.err) != resource.NotFound {
		t.Errorf("of a cluster that has gone: %v", got.err)
	}
	first.release()
	granted.release()
	if got := machinelearning.NodesOf(w.nodes, computeID("cpu")); got != 0 {
		t.Errorf("%d nodes are left", got)
	}
}

func waits(n *machinelearning.NodeScheduler, compute resource.ID) bool {
	return machinelearning.WaitingFor(n, compute) > 0
}

// Jobs that had their nodes before a restart have them still, before anybody else gets one; the same when they say so themselves.
func TestNodesAfterRestart(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	w.must("PUT", ws+"/computes/cpu", scaled(0, 3, "PT0S"))
	w.putJob("a", "Running", "cpu", 2)
	w.putJob("b", "Completed", "cpu", 2)
	w.putJob("c", "Queued", "cpu", 2)
	w.putJob("d", "Finalizing", "cpu", 1)
	nodes, err := machinelearning.OpenNodes(w.store, 0, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if got := machinelearning.NodesOf(nodes, computeID("cpu")); got != 3 {
		t.Fatalf("%d nodes in use; want 3", got)
	}
	queued := make(chan func(), 1)
	go func() {
		release, err := nodes.Acquire(context.Background(), computeID("cpu"), 2, jobID("c"))
		if err != nil {
			t.Error(err)
		}
		queued <- release
	}()
	for !waits(nodes, computeID("cpu")) {
		time.Sleep(time.Millisecond)
	}
	release, err := nodes.Acquire(t.Context(), computeID("cpu"), 2, jobID("a"))
	if err != nil {
		t.Fatal(err)
	}
	w.putJob("d", "Failed", "cpu", 1) // it ends without having asked
	if machinelearning.NodesOf(nodes, computeID("cpu")) != 2 || !waits(nodes, computeID("cpu")) {
		t.Error("the nodes of the job that has ended are not free")
	}
	release()
	(<-queued)()
	over := nodes.Resume(computeID("cpu"), 5, jobID("e"))
	if got := machinelearning.NodesOf(nodes, computeID("cpu")); got != 5 {
		t.Errorf("%d nodes in use; want 5", got)
	}
	over()
	if got := machinelearning.NodesOf(nodes, computeID("cpu")); got != 0 {
		t.Errorf("%d nodes in use; want none", got)
	}
}

// A compute instance is started, stopped and restarted; a stopped one takes no jobs, and one with jobs is not stopped.
func TestInstanceStates(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	instance := object{"properties": object{"computeType": "ComputeInstance", "properties": object{"state": "Stopped"}}}
	if got := w.must("PUT", ws+"/computes/mine", instance); got.text("properties.properties.state") != "Running" {
		t.Errorf("a new one: %s", got.Raw)
	}
	state := func() string {
		return w.must("GET", ws+"/computes/mine", nil).text("properties.properties.state")
	}
	ctx, client := t.Context(), w.clients(w.owner).NewComputeClient()
	w.putJob("a", "Queued", "mine", 1)
	refused(t, "stop with a job", w.do("POST", ws+"/computes/mine/stop", nil), 409, "ComputeInUse", ": a.", "ml job cancel -n a")
	refused(t, "restart with a job", w.do("POST", ws+"/computes/mine/restart", nil), 409, "ComputeInUse", "restarted")
	refused(t, "delete with a job", w.do("DELETE", ws+"/computes/mine", nil), 409, "ComputeInUse", ": a.")
	w.putJob("a", "Canceled", "mine", 1)
	done[armmachinelearning.ComputeClientStopResponse](t)(client.BeginStop(ctx, "rg", "ws", "mine", nil))
	if state() != "Stopped" || machinelearning.NodesOf(w.nodes, computeID("mine")) != 0 {
		t.Errorf("after stop: %s", state())
	}
	_, err := w.nodes.Acquire(ctx, computeID("mine"), 1, jobID("b"))
	if e, ok := resource.AsError(err); !ok || e.Code != "ComputeNotRunning" || !strings.Contains(e.Message, "alvara ml compute start -n mine -w ws -g rg") {
		t.Errorf("a job on what is stopped: %v", err)
	}
	refused(t, "restart what is stopped", w.do("POST", ws+"/computes/mine/restart", nil), 409, "ComputeNotRunning", "ml compute start")
	w.must("PUT", ws+"/computes/mine", instance) // no write starts it
	if state() != "Stopped" {
		t.Error("a write has started it")
	}
	done[armmachinelearning.ComputeClientStartResponse](t)(client.BeginStart(ctx, "rg", "ws", "mine", nil))
	done[armmachinelearning.ComputeClientRestartResponse](t)(client.BeginRestart(ctx, "rg", "ws", "mine", nil))
	if state() != "Running" {
		t.Errorf("after start: %s", state())
	}
	release, err := w.nodes.Acquire(ctx, computeID("mine"), 1, jobID("b"))
	if err != nil {
		t.Fatal(err)
	}
	release()
	refused(t, "a stranger", w.do("POST", ws+"/computes/none/start", nil), 404, "ResourceNotFound")
	who := w.person("reader")
	refused(t, "somebody", w.as(who, "POST", ws+"/computes/mine/stop", nil), 403, "AuthorizationFailed", "computes/stop/action")
}

// What jobs of a compute may reach is validated, written in one way, and kept by writes that say nothing of it.
func TestOutbound(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	got := w.must("PUT", ws+"/computes/cpu", clusterBody(nil, object{"outbound": []string{"PyPI.org:443", "[::1]:8080", "10.0.0.1:0443"}}))
	want := `["pypi.org:443","[::1]:8080","10.0.0.1:443"]`
	shown := func(a answer) string {
		text, _ := json.Marshal(a.get("properties.properties.outbound"))
		return string(text)
	}
	if shown(got) != want {
		t.Errorf("the addresses: %s", shown(got))
	}
	if got = w.must("PUT", ws+"/computes/cpu", clusterBody(nil, nil)); shown(got) != want {
		t.Errorf("after another write: %s", shown(got))
	}
	for _, bad := range []string{"pypi.org", "pypi.org:0", "pypi.org:65536", "*.pypi.org:443", "https://pypi.org:443", "a b:1", ":443", "-a:1"} {
		refused(t, bad, w.do("PUT", ws+"/computes/cpu", clusterBody(nil, object{"outbound": []string{"a:1", bad}})), 400, "InvalidCompute", "outbound[1]")
	}
	if got = w.must("PATCH", ws+"/computes/cpu", object{"properties": object{"properties": object{"outbound": []string{}}}}); shown(got) != "null" {
		t.Errorf("without: %s", shown(got))
	}
}

// Many jobs at once: every one gets its nodes, and never more are in use than there may be.
func TestNodesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.must("PUT", ws, object{})
	w.must("PUT", ws+"/computes/cpu", scaled(0, 3, "PT0S"))
	var mu sync.Mutex
	inUse := 0
	var wait sync.WaitGroup
	for i := range 60 {
		wait.Go(func() {
			n := 1 + i%3
			release, err := w.nodes.Acquire(context.Background(), computeID("cpu"), n, jobID(fmt.Sprint("j", i)))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			if inUse += n; inUse > 3 {
				t.Errorf("%d nodes are in use", inUse)
			}
			mu.Unlock()
			time.Sleep(100 * time.Microsecond)
			mu.Lock()
			inUse -= n
			mu.Unlock()
			release()
		})
	}
	wait.Wait()
}
