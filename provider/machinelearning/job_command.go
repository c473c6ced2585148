package machinelearning

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
	"github.com/alvara-ml/alvara/workload"
)

// CommandJob is the kind of the durable jobs that carry command jobs out; their body is the id of a Job.
const CommandJob = "machinelearning/command"

// commandAttempts bounds how often the queue begins a command job. What the machine fails is counted in the job itself.
const commandAttempts = 1000

// linkedOfCommand: whoever submits a command must be allowed to see its compute and its environment.
func linkedOfCommand(ctx context.Context, change *arm.Change[Job]) ([]arm.Requirement, error) {
	p, workspace := change.Next.Properties, change.Next.ID.Parent()
	compute, err := computeIDOf(workspace, p.ComputeID)
	if err != nil {
		return nil, err
	}
	environment, err := environmentNamed(ctx, change.Call, workspace, "properties.environmentId", p.EnvironmentID)
	if kind := resource.KindOf(err); kind == resource.NotFound {
		environment, err = workspace.Child("environments", "unknown"), nil // whether it is there is for those who may see it
	}
	if err != nil {
		return nil, err
	}
	return []arm.Requirement{{Action: string(computeType) + "/read", Scope: compute}, {Action: string(environmentType) + "/read", Scope: environment}}, nil
}

// settleCommand checks a new command job as its submitter, and writes down in it all that is known of how it will be carried out.
func (d Deps) settleCommand(ctx context.Context, change *arm.Change[Job]) error {
	call, r, p := change.Call, change.Next, &change.Next.Properties
	workspace := r.ID.Parent()
	if err := checkCommandOnly(p); err != nil {
		return err
	}
	id, err := computeIDOf(workspace, p.ComputeID)
	if err != nil {
		return err
	}
	compute, err := jobCompute(ctx, call.Manager, id)
	if err != nil {
		return err
	}
	limits, err := settleLimits(p, compute)
	if err != nil {
		return err
	}
	if err := settleDistribution(p); err != nil {
		return err
	}
	if err := d.checkNodes(ctx, compute, p.Resources.InstanceCount); err != nil {
		return err
	}
	environment, err := environmentNamed(ctx, call, workspace, "properties.environmentId", p.EnvironmentID)
	if err != nil {
		return err
	}
	as, err := settleActor(call, compute, p)
	if err != nil {
		return err
	}
	p.ComputeID, p.EnvironmentID = compute.ID.String(), environment.String()
	order := &workload.Order{
		ID: newRunID(r.Name), Who: as.who, Tokens: as.tokens, ClientID: as.clientID, Limits: limits, Nodes: p.Resources.InstanceCount, Values: map[string]string{},
	}
	if err := d.settleFiles(ctx, call, r, as, order); err != nil {
		return err
	}
	if err := settleWords(r, order); err != nil {
		return err
	}
	p.Status = jobQueued
	p.Run = &CommandRun{ID: order.ID, Submitter: call.Who.ID, Order: order}
	p.Properties = retried(p)
	if as.who.Name != "" {
		p.Properties["alvara.runsAs"] = as.who.Name
	}
	return nil
}

// settleActor decides as whom a job runs, and writes it down.
func settleActor(call *arm.Call, compute *arm.Resource[Compute], p *Job) (actor, error) {
	settled, as, err := actorOf(call, compute, p.Identity, call.Who)
	if err == nil {
		p.Identity = settled
	}
	return as, err
}

// checkCommandOnly refuses what belongs to other types of jobs, or to none.
func checkCommandOnly(p *Job) error {
	for _, field := range []struct {
		name  string
		given bool
	}{{"jobs", len(p.Jobs) > 0}, {"settings", len(p.Settings) > 0 && !nothing(asJSON(p.Settings))}, {"sourceJobId", p.SourceJobID != ""}} {
		if field.given {
			return resource.Invalidf("InvalidJob", "properties.%s belongs to pipelines, and this job's type is %s; leave the field out", field.name, p.JobType).At("properties." + field.name)
		}
	}
	if p.ComponentID != "" {
		return resource.Errorf(resource.Unsupported, "NotSupported", "properties.componentId: there are no components here; give the job its command").At("properties.componentId")
	}
	if q := p.QueueSettings; q != nil && (q.JobTier != "" && !strings.EqualFold(q.JobTier, "Null") || q.Priority != nil) {
		return resource.Errorf(resource.Unsupported, "NotSupported", "properties.queueSettings: the jobs of a compute begin in the order in which they were submitted; leave the field out").At("properties.queueSettings")
	}
	return nil
}

// newRunID names a run as nothing else was ever named: jobs may be deleted and made again.
func newRunID(job string) string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return job[:min(len(job), 60)] + "-" + hex.EncodeToString(random[:])
}

// beginCommand has the queue carry a command job out. A workspace without a registry gets one first (MI-03).
func beginCommand(ctx context.Context, change *arm.Change[Job]) ([]store.Op, error) {
	if _, err := ensureRegistry(ctx, change.Call, change.Next.ID.Parent()); err != nil {
		return nil, err
	}
	body, err := json.Marshal(change.Next.ID)
	return []store.Op{store.Enqueue{Kind: CommandJob, Body: body, MaxAttempts: commandAttempts}}, err
}
