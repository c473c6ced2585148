package resources

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/store"
)

// ListingViews list the resources of a subscription or a group, whatever their type, with $filter. A caller sees those
// that it may read.
func ListingViews() []arm.View {
	return []arm.View{
		{Pattern: "/subscriptions/{subscription}/resources", Scope: subscriptionScope, Run: listResources},
		{Pattern: "/subscriptions/{subscription}/resourceGroups/{group}/resources", Scope: groupScope, Run: listResources},
	}
}

func groupScope(params map[string]string) resource.ID {
	id, err := resource.ParseID("/subscriptions/" + params["subscription"] + "/resourceGroups/" + params["group"])
	if err != nil {
		return resource.Root
	}
	return id
}

func listResources(ctx context.Context, call *arm.Call, _ map[string]string) (any, error) {
	keep, err := parseFilter(call.QueryValue("$filter"))
	if err != nil {
		return nil, err
	}
	values := []any{}
	for _, kind := range call.Manager.Tracked() {
		if kind == resource.TypeResourceGroup.Key() {
			continue
		}
		docs, err := call.Manager.Store.List(ctx, store.Query{Kind: kind, Prefix: call.Target.ID.Key() + "/"})
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			if !call.Manager.Visible(call, doc) {
				continue
			}
			body, err := call.Manager.Present(ctx, call, doc)
			if err != nil {
				return nil, err
			}
			if keep(body) {
				delete(body, "properties")
				values = append(values, body)
			}
		}
	}
	return map[string]any{"value": values}, nil
}

var (
	equals    = regexp.MustCompile(`(?i)^\s*(resourceType|name|resourceGroup|location|tagName|tagValue|kind)\s+(eq|ne)\s+'((?:[^']|'')*)'\s*$`)
	substring = regexp.MustCompile(`(?i)^\s*substringof\('((?:[^']|'')*)',\s*(name|resourceGroup)\)\s*$`)
	and       = regexp.MustCompile(`(?i)\s+and\s+`)
)

// parseFilter reads a $filter: comparisons of resourceType, name, resourceGroup, location, kind, tagName and tagValue,
// and substringof on name or resourceGroup, joined by "and".
func parseFilter(filter string) (func(map[string]any) bool, error) {
	if strings.TrimSpace(filter) == "" {
		return func(map[string]any) bool { return true }, nil
	}
	var terms []func(map[string]any) bool
	tagName := ""
	for _, term := range and.Split(filter, -1) {
		if m := equals.FindStringSubmatch(term); m != nil {
			field, negate, want := strings.ToLower(m[1]), strings.EqualFold(m[2], "ne"), strings.ReplaceAll(m[3], "''", "'")
			switch field {
			case "tagname":
				tagName = want
				terms = append(terms, func(r map[string]any) bool { _, has := tag(r, want); return has != negate })
			case "tagvalue":
				name := tagName
				terms = append(terms, func(r map[string]any) bool { value, _ := tag(r, name); return (value == want) != negate })
			default:
				terms = append(terms, func(r map[string]any) bool { return strings.EqualFold(fieldOf(r, field), want) != negate })
			}
			continue
		}
		if m := substring.FindStringSubmatch(term); m != nil {
			field, want := strings.ToLower(m[2]), strings.ToLower(m[1])
			terms = append(terms, func(r map[string]any) bool { return strings.Contains(strings.ToLower(fieldOf(r, field)), want) })
			continue
		}
		return nil, resource.Invalidf("InvalidFilterInQueryString",
			"$filter has %q, which is not understood; use comparisons such as resourceType eq 'Microsoft.Storage/storageAccounts', name eq 'x', tagName eq 'x' and tagValue eq 'y', or substringof('x', name), joined by and", term).At("$filter")
	}
	return func(r map[string]any) bool {
		for _, term := range terms {
			if !term(r) {
				return false
			}
		}
		return true
	}, nil
}

func fieldOf(r map[string]any, field string) string {
	switch field {
	case "resourcetype":
		field = "type"
	case "resourcegroup":
		id, err := resource.ParseID(fmt.Sprint(r["id"]))
		if err != nil {
			return ""
		}
		return id.ResourceGroup()
	}
	text, _ := r[field].(string)
	return text
}

func tag(r map[string]any, name string) (string, bool) {
	tags, _ := r["tags"].(map[string]any)
	for given, value := range tags {
		if strings.EqualFold(given, name) {
			text, _ := value.(string)
			return text, true
		}
	}
	return "", false
}
