package containerregistry

import (
	"context"
	"net/url"
	"time"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// cancelWait is how long a cancellation waits for a running build to end before it is answered.
const cancelWait = 5 * time.Second

// cancel ends a run: one that is queued at once, a running one as soon as its build has stopped.
func (d Deps) cancel(ctx context.Context, call *arm.Call, r *arm.Resource[Run]) (any, error) {
	now := call.Manager.Clock().UTC()
	changed, err := updateRun(ctx, call.Manager.Store, r.ID, now, func(run *Run) error {
		switch {
		case run.ended():
			return resource.Conflictf("RunAlreadyEnded", "The run %s has ended already: %s.", r.Name, run.Status)
		case run.Status == runQueued:
			run.finish(runCanceled, canceledMessage, now)
		}
		run.Work.CancelRequested = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.stop(r.ID)
	if changed.Properties.ended() {
		if err := d.completeLog(ctx, changed, canceledMessage); err != nil {
			return nil, err
		}
		return &arm.Response{Status: 200}, nil
	}
	const pause = 5 * time.Millisecond
	for waited := time.Duration(0); waited < cancelWait && ctx.Err() == nil; waited += pause {
		doc, err := call.Manager.Store.Get(ctx, r.ID.Key())
		if err != nil {
			return nil, err
		}
		if now, err := readRun(doc); err != nil || now.Properties.ended() {
			return &arm.Response{Status: 200}, err
		}
		time.Sleep(pause)
	}
	// Clients' pollers want a place to ask: the run itself.
	location := call.BaseURL + r.ID.String() + "?api-version=" + url.QueryEscape(call.QueryValue("api-version"))
	return &arm.Response{Status: 202, Header: map[string]string{"Location": location, "Retry-After": "1"}}, nil
}

func (d Deps) stop(id resource.ID) {
	if d.Cancel != nil {
		d.Cancel(id)
	}
}

const canceledMessage = "The run was canceled."

// completeLog writes the last line of a run's log and marks it complete.
func (d Deps) completeLog(ctx context.Context, r *arm.Resource[Run], line string) error {
	log, err := d.OpenLog(ctx, r.Properties.Work.Key, r.Name)
	if err != nil {
		return err
	}
	if line != "" {
		log.Write(line)
	}
	err = log.Complete(outcomes[r.Properties.Status])
	if closed := log.Close(); err == nil {
		err = closed
	}
	return err
}
