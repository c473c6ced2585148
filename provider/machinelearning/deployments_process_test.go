package machinelearning_test

import (
	"slices"
	"strings"
	"testing"
)

// Without isolation there are no images: the scoring script is the program, and a deployment without code is refused with what to do.
func TestDeployWithoutIsolation(t *testing.T) {
	w := newWorld(t)
	w.serving.level = "process"
	w.withImage(false)
	w.withEndpoint(object{})
	w.images.files = map[string]string{"acct/data/code/score.py": "c", "acct/data/code/serve": "s"}
	w.must("PUT", ws+"/datastores/ds", object{"properties": object{"datastoreType": "AzureBlob", "accountName": "acct", "containerName": "data"}})
	w.must("PUT", ws+"/codes/c/versions/1", object{"properties": object{"codeUri": "azureml://datastores/ds/paths/code/"}})
	refused(t, "no code", w.do("PUT", blue, deployment("Managed", "1", nil)), 400, "CodeRequired", "--job-backend sandbox")
	for script, want := range map[string][]string{"score.py": {"python3", "score.py"}, "serve": {"./serve"}} {
		w.must("PUT", blue, deployment("Managed", "1", object{"codeConfiguration": object{"codeId": "azureml:c:1", "scoringScript": script}}))
		if got := w.settledAt(blue); got.text("properties.provisioningState") != "Succeeded" {
			t.Fatalf("%s: %s", script, got.Raw)
		}
		all := w.serving.machine.Launches()
		order := all[len(all)-1]
		if order.Image != "" || order.Puller.Who.ID != "" || !slices.Equal(order.Command, want) || !strings.Contains(strings.Join(order.Env, " "), "AZUREML_ENTRY_SCRIPT="+script) {
			t.Errorf("%s: %+v", script, order)
		}
	}
}
