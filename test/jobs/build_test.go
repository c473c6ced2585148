package jobs

import (
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/test/testenv"
)

// A job waits for the image of its environment, which is built once: the build's log is in the job's. A build that fails fails
// the job, and says where to look.
func TestJobBuildsItsImage(t *testing.T) {
	w := newWorld(t, testenv.Start(t), true)
	w.ready()
	w.admin.Grant(w.admin.PrincipalID(), access.RoleStorageBlobDataContributor, w.storage)
	w.file("good/Dockerfile", "FROM "+w.image+"\nCOPY hello.txt /hello.txt\n")
	w.file("good/hello.txt", "built with the job")
	w.file("bad/Dockerfile", "FROM "+w.image+"\nRUN [\"task\", \"exit\", \"9\"]\n")
	for _, name := range []string{"good", "bad"} {
		w.must("PUT", w.ws+"/environments/"+name+"/versions/1", object{"properties": object{"build": object{"contextUri": "azureml://datastores/workspaceblobstore/paths/" + name + "/"}}})
	}
	one := w.submit("one", "task cat /hello.txt", object{"environmentId": "azureml:good@latest"})
	two := w.submit("two", "task cat /hello.txt", object{"environmentId": "azureml:good:1"})
	builds := 0
	for _, id := range []string{one, two} {
		w.ended(id, "Completed")
		log := w.log(id)
		w.has("the log", log, "\nbuilt with the job\n")
		if strings.Contains(log, " build: ") {
			builds++
		}
	}
	if builds == 0 {
		t.Errorf("no job's log has the build's: %s", w.log(one))
	}
	runs, _ := w.must("GET", w.registry+"/runs", nil).Get("value").([]any)
	if len(runs) != 1 {
		t.Errorf("the image was built %d times", len(runs))
	}
	failed, log := w.run("bad", "Failed", "task say hello", object{"environmentId": "azureml:bad:1"})
	if failed.Text("properties.error.code") != "ImageBuildFailed" {
		t.Errorf("the job is %s", failed.Raw)
	}
	w.has("the refusal", failed.Text("properties.error.message"), "bad:1", "alvara ml environment")
	if !strings.Contains(log, " build: ") {
		t.Errorf("the log does not have the build's: %s", log)
	}
}
