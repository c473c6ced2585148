package arm

import (
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// Target is a request path, parsed: an item, a collection of items of a type, or a word after either of them, which is
// an action or a view.
type Target struct {
	ID         resource.ID   // the item; for a collection its parent scope
	Type       resource.Type // the item's type, or the type of the collection's items
	Collection bool
	Word       string // the path's last segment when it ends with a word after an item: an action's name
}

// ParseTarget reads a request path. A path that ends in a single word after an item can be a collection of children or
// an action on the item: both readings are given, the collection first.
func ParseTarget(path string) ([]Target, error) {
	trimmed := strings.Trim(path, "/")
	if trimmed == "" {
		return []Target{{ID: resource.Root}}, nil
	}
	segments := strings.Split(trimmed, "/")
	if id, err := resource.ParseID("/" + trimmed); err == nil {
		return []Target{{ID: id, Type: id.Type()}}, nil
	} else if len(segments) == 1 || !oddEnd(segments) {
		if len(segments) == 1 {
			return []Target{{Collection: true, Type: rootCollection(segments[0])}, {Word: segments[0]}}, nil
		}
		return nil, err
	}
	last := segments[len(segments)-1]
	head := "/" + strings.Join(segments[:len(segments)-1], "/")
	targets := make([]Target, 0, 2)
	if parent, err := resource.ParseID(head); err == nil {
		switch {
		case parent.Type().Is(resource.TypeSubscription) && strings.EqualFold(last, "resourceGroups"):
			targets = append(targets, Target{ID: parent, Type: resource.TypeResourceGroup, Collection: true})
		case parent.Type() != "" && !parent.Type().Is(resource.TypeSubscription) && !parent.Type().Is(resource.TypeResourceGroup):
			targets = append(targets, Target{ID: parent, Type: parent.Type() + resource.Type("/"+last), Collection: true})
		}
		return append(targets, Target{ID: parent, Type: parent.Type(), Word: last}), nil
	}
	// …/providers/{namespace}/{type}: a collection on a scope
	if n := len(segments); n >= 3 && strings.EqualFold(segments[n-3], "providers") {
		scope := resource.Root
		if n > 3 {
			var err error
			if scope, err = resource.ParseID("/" + strings.Join(segments[:n-3], "/")); err != nil {
				return nil, err
			}
		}
		return []Target{{ID: scope, Type: resource.Type(segments[n-2] + "/" + last), Collection: true},
			{ID: scope, Type: resource.Type(segments[n-2]), Word: last}}, nil
	}
	_, err := resource.ParseID("/" + trimmed)
	return nil, err
}

func rootCollection(word string) resource.Type {
	if strings.EqualFold(word, "subscriptions") {
		return resource.TypeSubscription
	}
	return resource.Type(word)
}

// oddEnd tells whether cutting the last segment off can leave an id or a scope with a namespace.
func oddEnd(segments []string) bool {
	n := len(segments)
	if _, err := resource.ParseID("/" + strings.Join(segments[:n-1], "/")); err == nil {
		return true
	}
	return n >= 3 && strings.EqualFold(segments[n-3], "providers")
}
