package document

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// DecodeYAML reads one YAML (or JSON) document whose top is a mapping. Keys that are no strings, and keys that are
// given twice, are errors; the error text shows the line.
func DecodeYAML(text []byte) (*Object, error) {
	var tree any
	if err := yaml.UnmarshalWithOptions(text, &tree, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("%s", strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	if tree == nil {
		return nil, fmt.Errorf("the file is empty; expected a mapping such as `name: …`")
	}
	value, err := fromYAML(tree)
	if err != nil {
		return nil, err
	}
	object, ok := value.(*Object)
	if !ok {
		return nil, fmt.Errorf("the top of the file is no mapping; expected lines such as `name: …`")
	}
	return object, nil
}

func fromYAML(value any) (any, error) {
	switch v := value.(type) {
	case yaml.MapSlice:
		object := &Object{}
		for _, item := range v {
			key, ok := item.Key.(string)
			if !ok {
				key = fmt.Sprint(item.Key)
			}
			inner, err := fromYAML(item.Value)
			if err != nil {
				return nil, err
			}
			object.Set(key, inner)
		}
		return object, nil
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			inner, err := fromYAML(element)
			if err != nil {
				return nil, err
			}
			list[i] = inner
		}
		return list, nil
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), nil
	case map[string]any:
		return nil, fmt.Errorf("unexpected unordered mapping")
	default:
		return v, nil
	}
}

// EncodeYAML writes a value as YAML with the keys in order.
func EncodeYAML(value any) ([]byte, error) {
	return yaml.MarshalWithOptions(toYAML(value), yaml.IndentSequence(false))
}

func toYAML(value any) any {
	switch v := value.(type) {
	case *Object:
		if v == nil {
			return nil
		}
		out := make(yaml.MapSlice, 0, v.Len())
		for _, key := range v.Keys() {
			out = append(out, yaml.MapItem{Key: key, Value: toYAML(v.Get(key))})
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, element := range v {
			out[i] = toYAML(element)
		}
		return out
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	default:
		return v
	}
}
