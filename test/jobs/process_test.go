package jobs

import (
	"testing"

	"github.com/alvara-ml/alvara/app"
	"github.com/alvara-ml/alvara/test/testenv"
)

// Without sandboxes jobs run as plain processes of the machine: no image is pulled, and the job says what stood between it and the
// machine. Files, artifacts and logs are as ever.
func TestJobAsProcess(t *testing.T) {
	w := newWorld(t, testenv.StartIn(t, app.Config{DataDir: testenv.Folder(t), JobBackend: "process"}), true)
	w.ready()
	w.must("PUT", w.ws+"/environments/absent/versions/1", object{"properties": object{"image": w.host + "/not/there:1"}})
	ended, log := w.run("plain", "Completed", `mkdir -p outputs && echo "hello $AZUREML_RUN_ID" | tee outputs/said.txt`, object{"environmentId": "azureml:absent:1"})
	properties, _ := ended.Get("properties.properties").(object)
	if properties["alvara.isolation"] != "process" || properties["alvara.image"] != nil {
		t.Errorf("the job says %v", properties)
	}
	w.has("the log", log, "hello plain\n")
	if got := w.must("GET", ended.Text("id")+"/artifacts/content?path=outputs/said.txt", nil); string(got.Raw) != "hello plain\n" {
		t.Errorf("the artifact is %q", got.Raw)
	}
}
