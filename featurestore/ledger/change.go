package ledger

import (
	"time"

	"github.com/alvara-ml/alvara/resource"
)

// Begin makes the window Pending for the job, whatever it was. It is refused with kind Conflict while another job
// computes any part of it. Beginning again what the job owns already changes nothing but the time.
func (l Ledger) Begin(w Window, jobID string, at time.Time) (Ledger, error) {
	w, err := l.prepare(w, jobID)
	if err != nil {
		return l, err
	}
	for _, interval := range l.overlapping(w) {
		if interval.Status == Pending && interval.JobID != jobID {
			return l, resource.Conflictf(codeConflict, "the job %s is computing %s, which overlaps the window %s; wait for it or cancel it",
				interval.JobID, interval.Window, w).At("featureWindow")
		}
	}
	return l.put(w, []Interval{{Window: w, Status: Pending, JobID: jobID, ChangedAt: at.UTC()}}), nil
}

// Complete makes the window Complete: call it after the data is committed. Every part of the window must be Pending for
// this job, or Complete by it already, so that a report may be repeated. Otherwise nothing changes and the error has kind
// Conflict: the job was given up, and what it wrote may have been replaced.
func (l Ledger) Complete(w Window, jobID string, at time.Time) (Ledger, error) {
	w, err := l.prepare(w, jobID)
	if err != nil {
		return l, err
	}
	records, err := l.Records(&w)
	if err != nil {
		return l, err
	}
	pending := false
	for _, r := range records {
		if r.JobID != jobID || r.Status != Pending && r.Status != Complete {
			owner := ""
			if r.JobID != "" && r.JobID != jobID {
				owner = " by the job " + r.JobID
			}
			return l, resource.Conflictf(codeConflict, "the job %s no longer owns %s, which is %s%s; its result does not count",
				jobID, r.Window, r.Status, owner)
		}
		pending = pending || r.Status == Pending
	}
	if !pending {
		return l, nil
	}
	return l.put(w, []Interval{{Window: w, Status: Complete, JobID: jobID, ChangedAt: at.UTC()}}), nil
}

// Fail makes Incomplete what is still Pending for the job within the window: call it for a failed, cancelled or dead job.
// What the job completed, and what belongs to other jobs, stays as it is; a late or repeated report changes nothing.
func (l Ledger) Fail(w Window, jobID string, at time.Time) (Ledger, error) {
	w, err := l.prepare(w, jobID)
	if err != nil {
		return l, err
	}
	var pieces []Interval
	changed := false
	for _, interval := range l.overlapping(w) {
		interval = clip(interval, w)
		if interval.Status == Pending && interval.JobID == jobID {
			interval.Status, interval.ChangedAt, changed = Incomplete, at.UTC(), true
		}
		pieces = append(pieces, interval)
	}
	if !changed {
		return l, nil
	}
	return l.put(w, pieces), nil
}

func (l Ledger) prepare(w Window, jobID string) (Window, error) {
	if jobID == "" {
		return w, resource.Invalidf(codeUserError, "a job id is needed to change data intervals").At("jobId")
	}
	return utc(w), check(w)
}
