package machinelearning

import (
	"encoding/json"
	"slices"
	"strings"
)

// pipelineRun is how far a pipeline is. It lies in Job.Parts.
type pipelineRun struct {
	Key       string     `json:"key"`       // a secret that tells the pipeline's own jobs
	Submitter string     `json:"submitter"` // object id
	Onwards   bool       `json:"onwards,omitempty"`
	Steps     []*stepRun `json:"steps"` // each after those that it needs
}

// stepRun is one step.
type stepRun struct {
	Name    string   `json:"name"`
	Needs   []string `json:"needs,omitempty"`
	Job     string   `json:"job"`              // the name of its job
	Begun   bool     `json:"begun,omitempty"`  // the job is there
	Status  string   `json:"status,omitempty"` // once it has ended: Completed, Failed, Canceled or Skipped
	Message string   `json:"message,omitempty"`
	Reused  bool     `json:"reused,omitempty"` // the job is that of an earlier pipeline
	Key     string   `json:"key,omitempty"`    // of the pipeline that submitted the job, where it is reused
	Asked   *Job     `json:"asked"`            // the job as it is submitted
}

// stepSkipped is the end of a step that never began.
const stepSkipped = "Skipped"

func (s *stepRun) ended() bool { return s.Status != "" }

func readParts(j *Job) (*pipelineRun, error) {
	run := &pipelineRun{}
	return run, json.Unmarshal(j.Parts, run)
}

func putParts(j *Job, run *pipelineRun) (err error) {
	j.Parts, err = json.Marshal(run)
	return err
}

// next says what is to be done with a pipeline: which steps begin now and which are stopped. canceling is set when somebody asked for
// its end. Steps that will never begin are marked as skipped.
func (r *pipelineRun) next(canceling bool) (begin, stop []*stepRun) {
	broken := canceling
	for _, step := range r.Steps {
		if step.ended() && step.Status != jobCompleted && step.Status != stepSkipped && !r.Onwards {
			broken = true
		}
	}
	for _, step := range r.Steps {
		if step.ended() {
			continue
		}
		ready, never := true, broken
		for _, name := range step.Needs {
			switch r.find(name).Status {
			case jobCompleted:
			case "":
				ready = false
			default:
				never = true
			}
		}
		switch {
		case step.Begun && broken:
			stop = append(stop, step)
		case step.Begun:
		case never:
			step.Status = stepSkipped
		case ready:
			begin = append(begin, step)
		}
	}
	return begin, stop
}

// owns tells whether a job is the very one that was submitted for a step, and not another that somebody put in its place.
func (r *pipelineRun) owns(step *stepRun, job *Job) bool { return job.StepOf == r.keyOf(step) }

// keyOf is the key of the pipeline that submits a step's job: this one's, or that of the one which the step is reused from.
func (r *pipelineRun) keyOf(step *stepRun) string {
	if step.Reused {
		return step.Key
	}
	return r.Key
}

// find gives a step by its name; nil when there is none.
func (r *pipelineRun) find(name string) *stepRun {
	at := slices.IndexFunc(r.Steps, func(s *stepRun) bool { return s.Name == name })
	if at < 0 {
		return nil
	}
	return r.Steps[at]
}

// outcome is how a pipeline ended, once all its steps have; ok is false before that.
func (r *pipelineRun) outcome(canceling bool) (result outcome, ok bool) {
	var failed []string
	cut := false // something did not run to its end
	for _, step := range r.Steps {
		switch step.Status {
		case "":
			return outcome{}, false
		case jobCompleted:
		case stepSkipped:
			cut = true
		case jobCanceled:
			cut = true
			if !canceling {
				failed = append(failed, "the step "+step.Name+" (job "+step.Job+") was canceled")
			}
		default:
			failed = append(failed, "the step "+step.Name+" (job "+step.Job+") failed: "+strings.TrimSuffix(step.Message, "."))
		}
	}
	switch {
	case canceling && cut:
		return outcome{state: jobCanceled}, true
	case len(failed) > 0:
		text := strings.Join(failed, "; ")
		return outcome{jobFailed, "StepFailed", strings.ToUpper(text[:1]) + text[1:] + "."}, true
	}
	return outcome{state: jobCompleted}, true
}
