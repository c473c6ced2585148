package machinelearning

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/guard"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Finding is one thing that the doctor found in a workspace (BX-03).
type Finding struct {
	ID      string   `json:"id"`            // what kind of thing, such as ComputeCannotPull
	Level   string   `json:"level"`         // error: something is refused or broken; warning: it should not be so; info: good to know
	What    string   `json:"what"`          // id of the resource that it is about
	Message string   `json:"message"`       // what is the case
	Why     string   `json:"why,omitempty"` // why that matters
	Cure    []string `json:"cure"`          // commands that cure it, in their order; empty where there is nothing to be done, or a choice to be made
	// Manual: somebody has to decide before the cure is run, because it takes something away, or has to be run by somebody else.
	Manual bool `json:"manual,omitempty"`

	place string // where the diagnosis of the original tells it; "" for where What belongs
}

// The levels of findings.
const (
	levelError   = "error"
	levelWarning = "warning"
	levelInfo    = "info"
)

// doctorCheck looks for one trap, and adds what it finds to the examination.
type doctorCheck func(ctx context.Context, e *examination) error

// doctorChecks are all that is looked for. A new one is a function, its test and a line here.
func doctorChecks() []doctorCheck {
	return []doctorCheck{
		checkWorkspaceIdentity, checkAssociated, checkWorkspaceRoles, checkSharedKeys, checkDatastores,
		checkRegistryCreated, checkAdminUser,
		checkComputeIdentities, checkComputePulls, checkComputesWithoutIdentity,
		checkConnectionIdentities, checkConnectionGrants,
		checkEnvironmentIdentities, checkEnvironmentBuilds, checkEnvironmentsAsTheyAre,
		checkEndpointIdentities, checkEndpointRoles, checkEndpointKeys, checkClusters,
		checkBroadGrants, checkOrphanedGrants,
	}
}

// examination is one look at a workspace, for a caller who is shown no more than he may read.
type examination struct {
	Deps
	call      *arm.Call
	workspace *arm.Resource[Workspace]
	who       string      // object id of the identity that the workspace works as; "" when it is not known
	own       []grant     // the roles of that identity on the workspace itself, and for a feature store on its data
	registry  resource.ID // the workspace's; the root when there is none

	accounts map[string]resource.ID // storage accounts of the server by their names in lower case, once they are read
	hosts    map[string]resource.ID // registries of the server by their addresses
	hidden   map[string]bool        // what was said not to be readable
	listed   map[resource.Type]any  // what readBelow has read
	findings []Finding
}

// examine runs all checks. The findings come by level, and within one in the order of the checks.
func (d Deps) examine(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) (*examination, error) {
	e := &examination{Deps: d, call: call, workspace: r, hosts: d.Registries.Hosts(), hidden: map[string]bool{}, listed: map[resource.Type]any{}, findings: []Finding{}}
	var err error
	if e.who, e.own, err = worker(ctx, call, r); err != nil {
		return nil, err
	}
	if _, known := call.Manager.Identities.Lookup(e.who); !known {
		e.who = ""
	}
	if text := r.Properties.ContainerRegistry; text != "" {
		if e.registry, err = resource.ParseID(text); err != nil {
			return nil, err
		}
	}
	for _, look := range doctorChecks() {
		if err := look(ctx, e); err != nil {
			return nil, err
		}
	}
	order := []string{levelError, levelWarning, levelInfo}
	slices.SortStableFunc(e.findings, func(a, b Finding) int { return cmp.Compare(slices.Index(order, a.Level), slices.Index(order, b.Level)) })
	return e, nil
}

// doctor answers with everything that was found.
func (d Deps) doctor(ctx context.Context, call *arm.Call, r *arm.Resource[Workspace]) (any, error) {
	e, err := d.examine(ctx, call, r)
	if err != nil {
		return nil, err
	}
	return map[string]any{"value": e.findings}, nil
}

// add keeps a finding.
func (e *examination) add(f Finding) {
	if f.Cure == nil {
		f.Cure = []string{}
	}
	e.findings = append(e.findings, f)
}

// mayRead tells whether the caller may read a resource. When not, that is a finding, once for each: purpose says what was not
// checked for it.
func (e *examination) mayRead(id resource.ID, purpose string) bool {
	return e.may(string(id.Type())+"/read", id, purpose)
}

func (e *examination) may(action string, id resource.ID, purpose string) bool {
	if e.call.Manager.Guard.Allowed(guard.Request{Who: e.call.Who, Action: action, Scopes: []resource.ID{id}}) {
		return true
	}
	if key := action + id.Key(); !e.hidden[key] {
		e.hidden[key] = true
		e.add(Finding{
			ID: "NotReadable", Level: levelWarning, What: id.String(),
			Message: fmt.Sprintf("You may not read '%s' (%s), so that it was not checked %s.", id, action, purpose),
			Why:     "What cannot be seen can be broken.",
			Cure:    []string{commandLine("role", "assignment", "create", "--assignee", e.call.Who.ID, "--role", "Reader", "--scope", id.String())}, Manual: true,
		})
	}
	return false
}

// read gives a resource that the caller may read; found is false when it is not there. readable is false when the caller may
// not read it, which is then among the findings.
func (e *examination) read(ctx context.Context, id resource.ID, purpose string, into any) (found, readable bool, err error) {
	if !e.mayRead(id, purpose) {
		return false, false, nil
	}
	doc, err := e.call.Manager.Store.Get(ctx, id.Key())
	if resource.KindOf(err) == resource.NotFound {
		return false, true, nil
	}
	if err != nil {
		return false, true, err
	}
	return true, true, json.Unmarshal(doc.Body, into)
}

// readBelow reads what lies in the workspace, of one type, as far as the caller may read it. It is read once.
func readBelow[P any](ctx context.Context, e *examination, t resource.Type) ([]*arm.Resource[P], error) {
	if read, ok := e.listed[t].([]*arm.Resource[P]); ok {
		return read, nil
	}
	docs, err := e.call.Manager.Below(ctx, e.workspace.ID, t)
	if err != nil {
		return nil, err
	}
	out := make([]*arm.Resource[P], 0, len(docs))
	for _, doc := range docs {
		if !e.call.Manager.Visible(e.call, doc) {
			e.unreadable(doc)
			continue
		}
		r := &arm.Resource[P]{}
		if err := json.Unmarshal(doc.Body, r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	e.listed[t] = out
	return out, nil
}

func (e *examination) unreadable(doc store.Document) {
	id, err := resource.ParseID(doc.Key)
	if err != nil || e.hidden[doc.Key] {
		return
	}
	e.hidden[doc.Key] = true
	e.add(Finding{
		ID: "NotReadable", Level: levelWarning, What: id.String(), Message: fmt.Sprintf("You may not read '%s', so that it was not checked.", id),
		Why:  "What cannot be seen can be broken.",
		Cure: []string{commandLine("role", "assignment", "create", "--assignee", e.call.Who.ID, "--role", "Reader", "--scope", id.String())}, Manual: true,
	})
}

// commandLine writes a command so that a shell takes each word as it is.
func commandLine(words ...string) string {
	var b strings.Builder
	b.WriteString("alvara")
	for _, word := range words {
		b.WriteByte(' ')
		if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=") == "" {
			b.WriteString(word)
			continue
		}
		b.WriteString("'" + strings.ReplaceAll(word, "'", `'\''`) + "'")
	}
	return b.String()
}

// onWorkspace writes a command about something in the workspace.
func (e *examination) onWorkspace(words ...string) string {
	return commandLine(append(words, "-w", e.workspace.Name, "-g", e.workspace.ID.ResourceGroup())...)
}
