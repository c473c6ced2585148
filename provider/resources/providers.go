package resources

import (
	"context"
	"sort"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
)

// ProviderViews list the namespaces with their types and api versions. All are always registered.
func ProviderViews() []arm.View {
	const read = "Microsoft.Resources/subscriptions/providers/read"
	return []arm.View{
		{Pattern: "/subscriptions/{subscription}/providers", Action: read, Scope: subscriptionScope, Run: listProviders},
		{Pattern: "/subscriptions/{subscription}/providers/{namespace}", Action: read, Scope: subscriptionScope, Run: showProvider},
		{Pattern: "/providers", Run: listProviders},
		{Pattern: "/providers/{namespace}", Run: showProvider},
		{Method: "POST", Pattern: "/subscriptions/{subscription}/providers/{namespace}/register", Action: "Microsoft.Resources/subscriptions/providers/register/action", Scope: subscriptionScope, Run: showProvider},
	}
}

func listProviders(_ context.Context, call *arm.Call, params map[string]string) (any, error) {
	values := []any{}
	for _, namespace := range namespaces(call) {
		values = append(values, provider(call, params, namespace))
	}
	return map[string]any{"value": values}, nil
}

func showProvider(_ context.Context, call *arm.Call, params map[string]string) (any, error) {
	for _, namespace := range namespaces(call) {
		if strings.EqualFold(namespace, params["namespace"]) {
			return provider(call, params, namespace), nil
		}
	}
	return nil, resource.NotFoundf("InvalidResourceNamespace", "The resource namespace '%s' is invalid; known are %s.", params["namespace"], strings.Join(namespaces(call), ", "))
}

func namespaces(call *arm.Call) []string {
	seen := map[string]bool{}
	var out []string
	for _, t := range call.Manager.Types() {
		if !seen[t.Namespace()] {
			seen[t.Namespace()] = true
			out = append(out, t.Namespace())
		}
	}
	sort.Strings(out)
	return out
}

func provider(call *arm.Call, params map[string]string, namespace string) map[string]any {
	types := []any{}
	for _, t := range call.Manager.Types() {
		if t.Namespace() == namespace {
			types = append(types, map[string]any{
				"resourceType": strings.TrimPrefix(string(t), namespace+"/"), "apiVersions": call.Manager.APIVersions(t),
				"locations": []string{"local"}, "capabilities": "None",
			})
		}
	}
	id := "/providers/" + namespace
	if params["subscription"] != "" {
		id = "/subscriptions/" + params["subscription"] + id
	}
	return map[string]any{"id": id, "namespace": namespace, "registrationState": "Registered", "registrationPolicy": "RegistrationFree", "resourceTypes": types}
}
