package machinelearning_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/alvara-ml/alvara/job"
	"github.com/alvara-ml/alvara/store"
)

// plain launches processes without walls.
type plain struct{ launcher }

func (plain) Isolation() job.Isolation { return job.Isolation{Level: "process"} }

// BX-03: the log of a job without isolation says that its image is not run.
func TestPlainProcessesAreToldOf(t *testing.T) {
	const says = "The image of the environment task:1 is not pulled: jobs run as plain processes without walls."
	for _, walls := range []bool{false, true} {
		w := newJobs(t)
		w.submit("job", "task say hello")
		runner, launcher := w.server(&life{})
		if !walls {
			runner.Launcher = plain{launcher}
		}
		body, err := json.Marshal(jobID("job"))
		if err != nil {
			t.Fatal(err)
		}
		if err := runner.Run(t.Context(), store.Job{Body: body, Attempt: 1, MaxAttempts: 1000}); err != nil || w.status("job") != "Completed" {
			t.Fatal(err, w.status("job"))
		}
		if said := w.linesOf("job"); strings.Contains(said, says) == walls {
			t.Errorf("with walls: %t: %s", walls, said)
		}
	}
}
