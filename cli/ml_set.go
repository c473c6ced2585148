package cli

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

// setTree builds the YAML form from PATH=VALUE pairs; values read as YAML scalars do.
func setTree(pairs []string) (*document.Object, error) {
	root := document.New()
	return root, setInto(root, pairs)
}

var listElement = regexp.MustCompile(`^(.*)\[([0-9]{1,4})\]$`)

// setInto writes PATH=VALUE pairs over what a file says: a.b.c names a field, a[0].b one of a list's elements, which must be there. Values
// are read as YAML, so that `{type: uri_file, path: x}` is a mapping. What stands in the way of a longer path is replaced.
func setInto(root *document.Object, pairs []string) error {
	for _, pair := range pairs {
		at, text, ok := strings.Cut(pair, "=")
		if !ok || at == "" {
			return usagef("--set: %q is not of the form PATH=VALUE", pair)
		}
		value, err := document.DecodeYAML([]byte("value: " + text))
		if err != nil || value.Len() != 1 {
			return usagef("--set %s: the value %q cannot be read as YAML; put it in quotes", at, text)
		}
		if err := setAt(root, at, value.Get("value")); err != nil {
			return err
		}
	}
	return nil
}

func setAt(root *document.Object, path string, value any) error {
	keys := strings.Split(path, ".")
	object := root
	for i, key := range keys {
		last := i == len(keys)-1
		if key == "" {
			return usagef("--set %s: a name between the dots is empty", path)
		}
		if element := listElement.FindStringSubmatch(key); element != nil && element[1] != "" {
			list, n := object.List(element[1]), 0
			if n, _ = strconv.Atoi(element[2]); n >= len(list) {
				return usagef("--set %s: %s has %d elements, counted from 0", path, element[1], len(list))
			}
			if last {
				list[n] = value
				return nil
			}
			next, ok := list[n].(*document.Object)
			if !ok {
				next = document.New()
				list[n] = next
			}
			object = next
			continue
		}
		if last {
			object.Set(key, value)
			return nil
		}
		next := object.Object(key)
		if next == nil {
			next = document.New()
			object.Set(key, next)
		}
		object = next
	}
	return nil
}
