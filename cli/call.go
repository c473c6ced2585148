package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/cli/output"
	"github.com/alvara-ml/alvara/cli/profile"
	"github.com/alvara-ml/alvara/cli/wire"
)

// Call is one running command: its globals, and the sign-in and clients that are made when first needed.
type Call struct {
	Program *Program
	Globals Globals
	ctx     context.Context

	outputChosen bool // --output was given

	active *profile.Active
	issuer *profile.Issuer
	client *wire.Client
}

// Print writes the command's result.
func (c *Call) Print(value any) error { return c.PrintColumns(value, "") }

// PrintColumns writes the command's result; columns is the JMESPath expression for its table.
func (c *Call) PrintColumns(value any, columns string) error {
	if objects, ok := value.([]*document.Object); ok {
		value = document.List(objects)
	}
	if object, ok := value.(*document.Object); ok && object == nil {
		value = nil
	}
	return output.Write(c.Program.Stdout, output.Result{Value: value, Columns: columns}, c.Globals.Output, c.Globals.Query)
}

// Warn writes a note to stderr, unless only errors are wanted.
func (c *Call) Warn(format string, args ...any) {
	if !c.Globals.OnlyShowErrors {
		fmt.Fprintf(c.Program.Stderr, "WARNING: %s\n", c.Program.renamer.shown(fmt.Sprintf(format, args...)))
	}
}

// interactive tells whether progress may be drawn on stderr.
func (c *Call) interactive() bool {
	file, ok := c.Program.Stderr.(*os.File)
	return ok && !c.Globals.OnlyShowErrors && !c.Globals.Debug && term.IsTerminal(int(file.Fd()))
}

func (c *Call) store() (profile.Store, error) {
	dir, err := profile.Dir(c.Program.Env)
	return profile.Store{Dir: dir}, err
}

// httpClient trusts the CA of these endpoints and, with --debug, tells what it does.
func (c *Call) httpClient(endpoints profile.Endpoints) (*http.Client, error) {
	transport, err := endpoints.Transport(c.Program.Env)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a token is never carried to another address
	}}
	if c.Globals.Debug {
		client.Transport = &wire.Debug{Next: transport, Log: c.Program.Stderr, Now: c.Program.Now}
	}
	return client, nil
}

// signedIn finds out who works, and where.
func (c *Call) signedIn() (*profile.Active, error) {
	if c.active != nil {
		return c.active, nil
	}
	store, err := c.store()
	if err != nil {
		return nil, err
	}
	stored, err := store.Load()
	if err != nil {
		return nil, err
	}
	active, err := profile.Resolve(stored, c.Program.Env, c.Globals.Subscription)
	if err != nil {
		return nil, err
	}
	return active, c.use(active, store)
}

func (c *Call) use(active *profile.Active, store profile.Store) error {
	client, err := c.httpClient(active.Endpoints)
	if err != nil {
		return err
	}
	c.active = active
	c.issuer = &profile.Issuer{Active: active, Store: store, HTTP: client, Env: c.Program.Env, Now: c.Program.Now}
	c.client = &wire.Client{HTTP: client, Token: func(ctx context.Context, resource string) (string, error) {
		token, err := c.issuer.Token(ctx, resource)
		return token.AccessToken, err
	}}
	return nil
}

// scopeOf gives /subscriptions/S, or /subscriptions/S/resourceGroups/G for a group.
func (c *Call) scopeOf(group string) (string, error) {
	active, err := c.signedIn()
	if err != nil {
		return "", err
	}
	if active.Subscription == "" {
		return "", usagef("no subscription is known: give --subscription, set AZURE_SUBSCRIPTION_ID, or sign in with `alvara login`")
	}
	if strings.ContainsAny(active.Subscription, "/?#") {
		return "", usagef("the subscription %q is malformed", active.Subscription)
	}
	scope := "/subscriptions/" + url.PathEscape(active.Subscription)
	if group != "" {
		scope += "/resourceGroups/" + segment(group)
	}
	return scope, nil
}

// segment escapes a name for its place in a path.
func segment(name string) string { return url.PathEscape(name) }

// plane gives the base URL of a plane, or an error that says how to name it.
func (c *Call) plane(name, variable string, pick func(profile.Endpoints) string) (string, error) {
	active, err := c.signedIn()
	if err != nil {
		return "", err
	}
	if base := pick(active.Endpoints); base != "" {
		return base, nil
	}
	return "", fmt.Errorf("the address of the %s is unknown: set %s, or sign in with `alvara login --data DIR`", name, variable)
}

// armRequest makes a request to the resource manager; path starts with a slash.
func (c *Call) armRequest(method, path, apiVersion string, body any) (wire.Request, error) {
	base, err := c.plane("resource manager", "ALVARA_ENDPOINT", func(e profile.Endpoints) string { return e.ResourceManager })
	if err != nil {
		return wire.Request{}, err
	}
	return wire.Request{Method: method, URL: base + path, Query: url.Values{"api-version": {apiVersion}}, Body: body, Resource: profile.ResourceManager}, nil
}

// arm sends one request to the resource manager and gives the object in the answer.
func (c *Call) arm(method, path, apiVersion string, body any) (*document.Object, error) {
	response, err := c.armResponse(method, path, apiVersion, body)
	if err != nil {
		return nil, err
	}
	return response.Object()
}

func (c *Call) armResponse(method, path, apiVersion string, body any) (*wire.Response, error) {
	request, err := c.armRequest(method, path, apiVersion, body)
	if err != nil {
		return nil, err
	}
	return c.client.Do(c.ctx, request)
}

// armList reads every page of a collection.
func (c *Call) armList(path, apiVersion string, query url.Values) ([]*document.Object, error) {
	request, err := c.armRequest(http.MethodGet, path, apiVersion, nil)
	if err != nil {
		return nil, err
	}
	for key, values := range query {
		request.Query[key] = values
	}
	return c.client.List(c.ctx, request)
}

// armFinish sends a request and follows the operation that it starts to its end. With noWait it only starts it.
func (c *Call) armFinish(method, path, apiVersion string, body any, what string, noWait bool) (*document.Object, error) {
	request, err := c.armRequest(method, path, apiVersion, body)
	if err != nil {
		return nil, err
	}
	first, err := c.client.Do(c.ctx, request)
	if err != nil {
		return nil, inProgress(err, request)
	}
	if noWait {
		return first.Object()
	}
	return c.finish(request, first, what)
}

// finish follows the operation that an answer started. A command that is stopped meanwhile leaves it going on.
func (c *Call) finish(request wire.Request, first *wire.Response, what string) (*document.Object, error) {
	progress := c.progress(what)
	operation := &wire.Operation{Client: c.client, Watch: progress.State}
	made, err := operation.Finish(c.ctx, request, first)
	progress.Stop()
	if err != nil && c.ctx.Err() != nil {
		c.Warn("%s goes on at the server; its state: %s", strings.ToLower(what[:1])+what[1:], stateCommand(request))
	}
	return made, err
}

// inProgress adds to the refusal of a write that meets another operation how that one is looked at.
func inProgress(err error, request wire.Request) error {
	var refused *wire.Error
	if errors.As(err, &refused) && refused.Code == "AnotherOperationInProgress" {
		refused.Cure = append(refused.Cure, stateCommand(request))
	}
	return err
}

// stateCommand shows the state of the resource that a request is about.
func stateCommand(request wire.Request) string {
	id := request.URL
	if target, err := url.Parse(request.URL); err == nil {
		id = target.Path
	}
	if request.Method == http.MethodPost {
		id = id[:max(strings.LastIndex(id, "/"), 0)] // what is to be done stands after the resource
	}
	return "alvara resource show --ids " + quoteSh(id) + " --query properties.provisioningState -o tsv"
}

// missing tells whether an error says that the thing is not there.
func missing(err error) bool {
	var refused *wire.Error
	return errors.As(err, &refused) && refused.NotFound()
}

// deleteResource deletes and waits; what is not there already is success, as with az.
func (c *Call) deleteResource(path, apiVersion, what string, noWait bool) error {
	_, err := c.armFinish(http.MethodDelete, path, apiVersion, nil, "Deleting "+what, noWait)
	if missing(err) {
		return nil
	}
	return err
}

// flatten brings a resource into the shape that az prints: the properties beside the name, and the group.
func flatten(resource *document.Object) *document.Object {
	if resource == nil {
		return nil
	}
	out := document.New()
	for _, key := range resource.Keys() {
		if key != "properties" {
			out.Set(key, resource.Get(key))
		}
	}
	properties := resource.Object("properties")
	for _, key := range properties.Keys() {
		if !out.Has(key) {
			out.Set(key, properties.Get(key))
		}
	}
	if group := groupOf(resource.Text("id")); group != "" && !out.Has("resourceGroup") {
		out.Set("resourceGroup", group)
	}
	return out
}

func flattenAll(resources []*document.Object) []*document.Object {
	out := make([]*document.Object, len(resources))
	for i, resource := range resources {
		out[i] = flatten(resource)
	}
	return out
}

// groupOf gives the resource group in an id, or "".
func groupOf(id string) string {
	parts := strings.Split(id, "/")
	for i := 0; i+1 < len(parts); i++ {
		if strings.EqualFold(parts[i], "resourceGroups") {
			return parts[i+1]
		}
	}
	return ""
}

// tagsOf reads az's tags: `--tags a=b c=d`; `--tags ""` clears them.
func tagsOf(pairs []string) (*document.Object, error) {
	if pairs == nil {
		return nil, nil
	}
	tags := document.New()
	for _, pair := range pairs {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if name == "" {
			return nil, usagef("--tags: %q has no name before the '='", pair)
		}
		tags.Set(name, value)
	}
	return tags, nil
}

func asNotFound(err error, target **notFound) bool { return errors.As(err, target) }

// armFinishMatch puts a resource that must still be the one with this ETag ("" for any).
func (c *Call) armFinishMatch(path string, body any, etag, what string) (*document.Object, error) {
	request, err := c.armRequest(http.MethodPut, path, machineLearnAPI, body)
	if err != nil {
		return nil, err
	}
	if etag != "" {
		request.Header = http.Header{"If-Match": {etag}}
	}
	first, err := c.client.Do(c.ctx, request)
	if err != nil {
		return nil, inProgress(err, request)
	}
	return c.finish(request, first, what)
}
