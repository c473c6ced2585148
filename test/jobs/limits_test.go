package jobs

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/test/testenv"
)

// Limits end jobs, and say so; what a job writes beyond its limit is thrown away and does not end it.
func TestJobLimits(t *testing.T) {
	w := newWorld(t, testenv.Start(t), true)
	w.ready()
	for name, c := range map[string]struct {
		command, code string
		more          object
		wants         []string
	}{
		"exits":  {"task say before then exit 7", "UserProcessFailed", nil, []string{"7"}},
		"late":   {"task sleep 1h", "TimeoutExceeded", object{"limits": object{"jobLimitsType": "Command", "timeout": "PT1S"}}, []string{"1s"}},
		"hungry": {"task hog", "OutOfMemory", object{"resources": object{"properties": object{"memory": "96Mi", "cpu": "1"}}}, []string{"memory"}},
		"absent": {"no-such-program", "UserProcessFailed", nil, []string{"not in the image"}},
	} {
		ended, _ := w.run(name, "Failed", c.command, c.more)
		if code := ended.Text("properties.error.code"); code != c.code {
			t.Errorf("%s: %s; want %s", name, ended.Raw, c.code)
		}
		w.has(name, ended.Text("properties.error.message"), c.wants...)
	}
	ended, log := w.run("flood", "Completed", "task flood 70000", nil)
	properties, _ := ended.Get("properties.properties").(object)
	if lost, _ := properties["alvara.logBytesLost"].(string); lost == "" {
		t.Errorf("nothing of 70 MB of output is said to be lost: %v", properties)
	}
	if !strings.Contains(log, "the last line") || !strings.HasSuffix(log, "The job is completed.\n") || len(log) > 66<<20 {
		t.Errorf("the log has %d bytes and ends with %q", len(log), log[max(0, len(log)-300):])
	}
}

// A job of several nodes runs as many times, and each node has a log.
func TestJobNodes(t *testing.T) {
	w := newWorld(t, testenv.Start(t), true)
	w.ready()
	ended, _ := w.run("three", "Completed", "task env NODE_RANK then env WORLD_SIZE", object{"resources": object{"instanceCount": 3}, "distribution": object{"distributionType": "pytorch"}})
	properties, _ := ended.Get("properties.properties").(object)
	if properties["alvara.nodes"] != "3" {
		t.Errorf("the job had %v nodes", properties["alvara.nodes"])
	}
	for _, node := range []string{"0", "1", "2"} {
		w.has("node "+node, string(w.must("GET", ended.Text("id")+"/logs?node="+node, nil).Raw), "NODE_RANK="+node+"\nWORLD_SIZE=3\n")
	}
	got := w.admin.Do("PUT", w.ws+"/jobs/many", job("task say", object{"resources": object{"instanceCount": 5}}))
	refused(t, "more nodes than there are", got, 400, "TooManyNodes", "4")
}
