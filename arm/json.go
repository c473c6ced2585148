package arm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// decodeObject reads a request body that must be one JSON object without duplicate names, or a string that holds the JSON of one.
func decodeObject(body []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, resource.Invalidf("InvalidRequestContent", "the request has no body; a JSON object was expected")
	}
	if err := checkJSON(body); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, resource.Invalidf("InvalidRequestContent", "the request body is not valid JSON: %v", err)
	}
	if text, isText := value.(string); isText && strings.HasPrefix(strings.TrimSpace(text), "{") {
		return decodeObject([]byte(text)) // an older client encodes what it has encoded already
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, resource.Invalidf("InvalidRequestContent", "the request body is %s; a JSON object was expected", jsonKind(value))
	}
	return object, nil
}

// ReadBody decodes an action's body, which must be one JSON object, into a Go value. Names that the value does not know, and
// names that occur twice, are refused by name.
func ReadBody(body []byte, into any) error {
	object, err := decodeObject(body)
	if err != nil {
		return err
	}
	return decodeInto("", object, into, true)
}

// checkJSON refuses invalid JSON, more than one value, nesting beyond 100 levels, numbers beyond all bounds, and names that
// occur twice in one object, whatever their case: what a later layer would make of those is anybody's guess.
func checkJSON(body []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := walkJSON(decoder, "", 0); err != nil {
		if e, ok := resource.AsError(err); ok {
			return e
		}
		return resource.Invalidf("InvalidRequestContent", "the request body is not valid JSON at byte %d: %s", decoder.InputOffset(), jsonFault(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return resource.Invalidf("InvalidRequestContent", "the request body has more after the JSON value, at byte %d", decoder.InputOffset())
	}
	return nil
}

func jsonFault(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends too early"
	}
	return err.Error()
}

func walkJSON(decoder *json.Decoder, path string, depth int) error {
	if depth > 100 {
		return resource.Invalidf("InvalidRequestContent", "the request body is nested deeper than 100 levels at %q", path)
	}
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if number, ok := token.(json.Number); ok {
		if _, err := number.Float64(); err != nil {
			return resource.Invalidf("InvalidRequestContent", "the number %.40s at %q is larger than any that can be kept", number, path).At(path)
		}
		return nil
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for i := 0; decoder.More(); i++ {
		at := fmt.Sprintf("%s[%d]", path, i)
		if delim == '{' {
			name, err := decoder.Token()
			if err != nil {
				return err
			}
			text, _ := name.(string)
			at = strings.TrimPrefix(path+"."+text, ".")
			if folded := fold(text); seen[folded] {
				return resource.Invalidf("InvalidRequestContent",
					"The request content contains duplicate JSON property names creating ambiguity in paths '%s'. Please update the request content to eliminate duplicates and try again.", at).At(at)
			} else {
				seen[folded] = true
			}
		}
		if err := walkJSON(decoder, at, depth+1); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// fold makes names equal that a decoder takes for the same: it ignores case as Unicode folds it, with ſ for s and K for k.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

func jsonKind(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	return "a number"
}

// mergePatch applies a JSON merge patch (RFC 7396): null removes, objects merge, all else replaces.
func mergePatch(target, patch map[string]any) map[string]any {
	out := make(map[string]any, len(target)+len(patch))
	for name, value := range target {
		out[name] = value
	}
	for name, value := range patch {
		name = sameName(out, name)
		object, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(out, name)
		case isObject:
			old, _ := out[name].(map[string]any)
			out[name] = mergePatch(old, object)
		default:
			out[name] = value
		}
	}
	return out
}

// sameName finds the name that an object uses already for name in another case.
func sameName(object map[string]any, name string) string {
	if _, ok := object[name]; ok {
		return name
	}
	for known := range object {
		if strings.EqualFold(known, name) {
			return known
		}
	}
	return name
}

// decodeInto decodes one field of a body into a Go value; with strict, names that the value does not know are refused.
func decodeInto(field string, value any, into any, strict bool) error {
	text, err := json.Marshal(value)
	if err != nil {
		return resource.Invalidf("InvalidRequestContent", "%s cannot be read: %v", field, err).At(field)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if strict {
		decoder.DisallowUnknownFields()
	}
	err = decoder.Decode(into)
	if err == nil {
		return nil
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		at := strings.Trim(field+"."+wireName(wrongType.Field), ".")
		return resource.Invalidf("InvalidRequestContent", "%s is %s; %s was expected", at, article(wrongType.Value), goKind(wrongType.Type.String())).At(at)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		where := field
		if where == "" {
			where = "the request body"
		}
		return resource.Invalidf("InvalidRequestContent", "%s has no field %s; check its spelling, or leave it out", where, name).At(strings.TrimPrefix(field+"."+strings.Trim(name, `"`), "."))
	}
	if e, ok := resource.AsError(err); ok {
		return e.At(field)
	}
	return resource.Invalidf("InvalidRequestContent", "%s cannot be read: %v", field, err).At(field)
}

func article(kind string) string {
	if kind == "" {
		return "of another type"
	}
	if strings.ContainsAny(kind[:1], "aeiou") {
		return "an " + kind
	}
	return "a " + kind
}

func goKind(kind string) string {
	switch {
	case strings.HasPrefix(kind, "[]"):
		return "an array"
	case strings.HasPrefix(kind, "map["), strings.Contains(kind, "."):
		return "an object"
	case kind == "string":
		return "a string"
	case kind == "bool":
		return "true or false"
	}
	return "a number"
}

// wireName is the path of a field without the names of the structs that are embedded on the way to it; fields of the wire begin in
// lower case.
func wireName(path string) string {
	parts := strings.Split(path, ".")
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part != "" && part[0] >= 'A' && part[0] <= 'Z' }), ".")
}
