package machinelearning

import (
	"context"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// jobKind is one type of jobs: how a new one is checked and completed, what begins it and what stops it.
type jobKind struct {
	name string
	// linked lists what the submitter must be allowed beside writing the job. nil is nothing.
	linked func(ctx context.Context, change *arm.Change[Job]) ([]arm.Requirement, error)
	// settle checks a new job as its submitter and completes it. It writes nothing.
	settle func(ctx context.Context, change *arm.Change[Job]) error
	// begin gives the ops that are committed with the job and begin it: a durable store job. What must be there before the job is
	// accepted, such as the workspace's registry, it may make.
	begin func(ctx context.Context, change *arm.Change[Job]) ([]store.Op, error)
	// cancel stops what runs here, once CancelRequested is written down.
	cancel func(job resource.ID)
}

// jobKinds are the types of jobs that can be submitted.
func (d Deps) jobKinds() []jobKind {
	return []jobKind{
		{name: "Command", linked: linkedOfCommand, settle: d.settleCommand, begin: beginCommand, cancel: d.Runner.Stop},
		d.pipelineKind(),
	}
}

// sparkJob is the type of materialization jobs, which backfills make and nobody submits.
const sparkJob = "Spark"

// kindOfJob finds a type of jobs. Unsupported for those that there are elsewhere.
func (d Deps) kindOfJob(name string) (jobKind, error) {
	const field = "properties.jobType"
	var names []string
	for _, kind := range d.jobKinds() {
		if strings.EqualFold(kind.name, name) {
			return kind, nil
		}
		names = append(names, kind.name)
	}
	offered := strings.Join(names, ", ")
	switch {
	case name == "":
		return jobKind{}, resource.Invalidf("InvalidJobType", "%s is missing; one of these was expected: %s", field, offered).At(field)
	case strings.EqualFold(name, sparkJob):
		return jobKind{}, resource.Errorf(resource.Unsupported, "JobTypeNotSupported", "%s is %q: materialization jobs are made by a feature set's backfill, and there is no Spark to submit others to; use %s", field, name, offered).At(field)
	}
	return jobKind{}, resource.Errorf(resource.Unsupported, "JobTypeNotSupported", "%s is %q; this version offers %s", field, name, offered).At(field)
}
