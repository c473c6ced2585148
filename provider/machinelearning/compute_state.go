package machinelearning

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// The states of a compute instance.
const (
	instanceRunning = "Running"
	instanceStopped = "Stopped"
)

// changeState starts, stops or restarts a compute instance. It is done at once and answered as a long operation is, with
// the instance as the place to ask. An instance with jobs that have not ended is not stopped: the refusal names them.
func changeState(word, state string) func(context.Context, *arm.Call, *arm.Resource[Compute]) (any, error) {
	return func(ctx context.Context, call *arm.Call, r *arm.Resource[Compute]) (any, error) {
		if r.Properties.ComputeType != "ComputeInstance" {
			return nil, resource.Errorf(resource.Unsupported, "ComputeOperationNotSupported", "'%s' cannot be %s: it is of the type %s, whose nodes come and go with the jobs; compute instances can", r.ID, word, r.Properties.ComputeType)
		}
		var now instance
		if err := json.Unmarshal(r.Properties.Properties, &now); err != nil {
			return nil, err
		}
		if now.State == instanceStopped && word == "restarted" {
			return nil, stoppedInstance(r.ID)
		}
		if word != "started" {
			if err := unused(ctx, call, r.ID, word); err != nil {
				return nil, err
			}
		}
		if now.State != state {
			if err := keepState(ctx, call, r.ID, state); err != nil {
				return nil, err
			}
		}
		location := call.BaseURL + r.ID.String() + "?api-version=" + url.QueryEscape(call.QueryValue("api-version"))
		return &arm.Response{Status: 202, Header: map[string]string{"Location": location, "Retry-After": "0"}}, nil
	}
}

// keepState writes the state of an instance into its document, beside whatever else is in it.
func keepState(ctx context.Context, call *arm.Call, id resource.ID, state string) error {
	for attempt := 0; ; attempt++ {
		doc, err := call.Manager.Store.Get(ctx, id.Key())
		if err != nil {
			return err
		}
		var whole map[string]any
		if err := json.Unmarshal(doc.Body, &whole); err != nil {
			return err
		}
		properties, _ := whole["properties"].(map[string]any)
		inner, _ := properties["properties"].(map[string]any)
		if inner == nil {
			return fmt.Errorf("the compute %s has no properties", id)
		}
		inner["state"] = state
		body, err := json.Marshal(whole)
		if err != nil {
			return err
		}
		_, err = call.Manager.Store.Apply(ctx, store.Put{Key: doc.Key, Kind: doc.Kind, Body: body, IfMatch: doc.ETag})
		if resource.KindOf(err) != resource.PreconditionFailed || attempt == 50 {
			return err
		}
	}
}

// unused refuses what would take a compute away from jobs that have not ended.
func unused(ctx context.Context, call *arm.Call, compute resource.ID, word string) error {
	docs, err := call.Manager.Below(ctx, compute.Parent(), jobType)
	if err != nil {
		return err
	}
	var names []string
	for _, doc := range docs {
		var r jobOnNodes
		if err := json.Unmarshal(doc.Body, &r); err != nil {
			return err
		}
		if strings.EqualFold(r.Properties.ComputeID, compute.String()) && !r.ended() {
			names = append(names, r.ID.Name())
		}
	}
	if len(names) == 0 {
		return nil
	}
	const most = 10
	listed := strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		listed += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return resource.Conflictf("ComputeInUse", "'%s' cannot be %s while jobs use it or wait for it: %s. Wait until they have ended, or cancel them, for example with: alvara ml job cancel -n %s -w %s -g %s",
		compute, word, listed, names[0], compute.Parent().Name(), compute.ResourceGroup())
}
