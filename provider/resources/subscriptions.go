package resources

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/alvara-ml/alvara/access"
	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// Subscription is a subscription's document.
type Subscription struct {
	DisplayName string `json:"displayName"`
}

// SubscriptionOps gives the ops that make a subscription.
func SubscriptionOps(id resource.ID, displayName string) ([]store.Op, error) {
	body, err := json.Marshal(Subscription{DisplayName: displayName})
	return []store.Op{store.Put{Key: id.Key(), Kind: resource.TypeSubscription.Key(), Body: body, IfMatch: store.None}}, err
}

// SubscriptionViews lists and shows subscriptions and tenants. Whoever holds any role in a subscription sees it listed.
func SubscriptionViews() []arm.View {
	return []arm.View{
		{Pattern: "/subscriptions", Run: listSubscriptions},
		{Pattern: "/subscriptions/{subscription}", Action: "Microsoft.Resources/subscriptions/read", Scope: subscriptionScope, Run: showSubscription},
		{Pattern: "/tenants", Run: listTenants},
		{Pattern: "/subscriptions/{subscription}/locations", Action: "Microsoft.Resources/subscriptions/locations/read", Scope: subscriptionScope, Run: listLocations},
	}
}

func subscriptionScope(params map[string]string) resource.ID {
	id, err := resource.ParseID("/subscriptions/" + params["subscription"])
	if err != nil {
		return resource.Root
	}
	return id
}

func listSubscriptions(ctx context.Context, call *arm.Call, _ map[string]string) (any, error) {
	docs, err := call.Manager.Store.List(ctx, store.Query{Kind: resource.TypeSubscription.Key()})
	if err != nil {
		return nil, err
	}
	snapshot := call.Manager.Guard.Access.Snapshot()
	values := []any{}
	for _, doc := range docs {
		id, err := resource.ParseID(doc.Key)
		if err != nil {
			return nil, err
		}
		holds := slices.ContainsFunc(snapshot.AssignmentsFor(call.Who.ID, call.Who.Groups...), func(a *access.Assignment) bool {
			return a.Scope.Contains(id) || id.Contains(a.Scope)
		})
		if !holds {
			continue
		}
		body, err := presentSubscription(call, id, doc)
		if err != nil {
			return nil, err
		}
		values = append(values, body)
	}
	return map[string]any{"value": values, "count": map[string]any{"type": "Total", "value": len(values)}}, nil
}

func showSubscription(ctx context.Context, call *arm.Call, params map[string]string) (any, error) {
	id := subscriptionScope(params)
	doc, err := call.Manager.Store.Get(ctx, id.Key())
	if resource.KindOf(err) == resource.NotFound {
		return nil, resource.NotFoundf("SubscriptionNotFound", "The subscription '%s' could not be found.", params["subscription"])
	}
	if err != nil {
		return nil, err
	}
	return presentSubscription(call, id, doc)
}

func presentSubscription(call *arm.Call, id resource.ID, doc store.Document) (map[string]any, error) {
	var subscription Subscription
	if err := json.Unmarshal(doc.Body, &subscription); err != nil {
		return nil, err
	}
	return map[string]any{
		"id": id.String(), "subscriptionId": id.Name(), "tenantId": call.Manager.Tenant, "displayName": subscription.DisplayName,
		"state": "Enabled", "authorizationSource": "RoleBased", "managedByTenants": []any{},
		"subscriptionPolicies": map[string]any{"locationPlacementId": "Public_2014-09-01", "quotaId": "Alvara_2026-01-01", "spendingLimit": "Off"},
	}, nil
}

func listTenants(_ context.Context, call *arm.Call, _ map[string]string) (any, error) {
	return map[string]any{"value": []any{map[string]any{
		"id": "/tenants/" + call.Manager.Tenant, "tenantId": call.Manager.Tenant, "displayName": "Alvara", "tenantCategory": "Home", "countryCode": "PT", "defaultDomain": "alvara.local",
	}}}, nil
}

func listLocations(_ context.Context, call *arm.Call, params map[string]string) (any, error) {
	return map[string]any{"value": []any{map[string]any{
		"id": "/subscriptions/" + params["subscription"] + "/locations/local", "name": "local", "displayName": "Local", "regionalDisplayName": "Local",
	}}}, nil
}
