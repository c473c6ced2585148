package machinelearning

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// stepWords are the words of files for fields that the resource manager calls otherwise, by the field that has them; "" is the
// step itself.
var stepWords = map[string]map[string]string{
	"":             {"environment": "environmentId", "code": "codeId", "compute": "computeId"},
	"inputs":       {"type": "jobInputType", "path": "uri"},
	"outputs":      {"type": "jobOutputType", "path": "uri"},
	"identity":     {"type": "identityType"},
	"distribution": {"type": "distributionType"},
}

// stepFields are what a step can say.
var stepFields = []string{
	"codeId", "command", "computeId", "description", "displayName", "distribution", "environmentId", "environmentVariables", "identity", "inputs", "limits",
	"outputs", "properties", "queueSettings", "resources", "tags",
}

// readStep reads a step: a command job as it would be submitted by itself, with type: command, in the words of the resource manager
// (environmentId) or of files (environment_variables).
func readStep(name string, raw json.RawMessage) (*Job, error) {
	field := "properties.jobs." + name
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var given map[string]any
	if err := decoder.Decode(&given); err != nil || given == nil {
		return nil, resource.Invalidf("InvalidPipeline", "%s is no object; a step was expected, such as {\"type\": \"command\", \"command\": …}", field).At(field)
	}
	step := canonical(given, "")
	kind, _ := step["type"].(string)
	if jobKind, _ := step["jobType"].(string); kind == "" {
		kind = jobKind
	}
	switch {
	case nothing(step["componentId"]) && nothing(step["component"]):
	default:
		return nil, resource.Errorf(resource.Unsupported, "NotSupported", "%s.componentId: there are no components here; give the step its command, code and environment", field).At(field + ".componentId")
	}
	switch {
	case kind == "":
		return nil, resource.Invalidf("InvalidPipeline", "%s.type is missing; command was expected", field).At(field + ".type")
	case !strings.EqualFold(kind, "command"):
		return nil, resource.Errorf(resource.Unsupported, "JobTypeNotSupported", "%s.type is %q; the steps of a pipeline are commands here", field, kind).At(field + ".type")
	}
	for _, key := range []string{"type", "jobType", "name", "componentId", "component", "_source"} {
		delete(step, key)
	}
	for _, key := range slices.Sorted(maps.Keys(step)) {
		if !slices.Contains(stepFields, key) {
			return nil, resource.Invalidf("InvalidPipeline", "%s.%s is unknown; a step has %s", field, key, strings.Join(stepFields, ", ")).At(field + "." + key)
		}
	}
	for _, key := range []string{"inputs", "outputs"} {
		if err := plainBindings(field+"."+key, key, step); err != nil {
			return nil, err
		}
	}
	if limits, _ := step["limits"].(map[string]any); limits != nil {
		if seconds, isNumber := limits["timeout"].(json.Number); isNumber {
			limits["timeout"] = "PT" + seconds.String() + "S"
		}
	}
	text, err := json.Marshal(step)
	if err != nil {
		return nil, err
	}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	job := &Job{}
	if err := strict.Decode(job); err != nil {
		return nil, resource.Invalidf("InvalidPipeline", "%s cannot be read: %s", field, strings.TrimPrefix(err.Error(), "json: ")).At(field)
	}
	return job, nil
}

// canonical writes the fields of an object in the resource manager's words. Maps whose names are the user's keep them.
func canonical(given map[string]any, of string) map[string]any {
	out := make(map[string]any, len(given))
	for key, value := range given {
		name := camel(key)
		if word, is := stepWords[of][name]; is {
			name = word
		}
		if inner, isObject := value.(map[string]any); isObject && of == "" {
			switch name {
			case "inputs", "outputs":
				each := make(map[string]any, len(inner))
				for key, one := range inner {
					if object, isObject := one.(map[string]any); isObject {
						one = canonical(object, name)
					}
					each[key] = one
				}
				value = each
			case "resources", "limits", "distribution", "identity", "queueSettings":
				value = canonical(inner, name)
			}
		}
		out[name] = value
	}
	return out
}

// camel writes words_with_lines as wordsWithLines; a line at the beginning stays.
func camel(text string) string {
	parts := strings.Split(strings.TrimLeft(text, "_"), "_")
	for i, part := range parts[1:] {
		if part != "" {
			parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return text[:len(text)-len(strings.TrimLeft(text, "_"))] + strings.Join(parts, "")
}

// plainBindings writes inputs and outputs that are given as a value alone, and outputs that are bound by a value, as objects.
func plainBindings(field, key string, step map[string]any) error {
	if nothing(step[key]) {
		delete(step, key)
		return nil
	}
	all, isObject := step[key].(map[string]any)
	if !isObject {
		return resource.Invalidf("InvalidPipeline", "%s is no object of names", field).At(field)
	}
	for name, value := range all {
		object, isObject := value.(map[string]any)
		switch {
		case isObject && key == "outputs" && !nothing(object["value"]):
			bound := map[string]any{"uri": object["value"]}
			for word, value := range object {
				if word != "value" && (word != "jobOutputType" || !strings.EqualFold(fmt.Sprint(value), literal)) {
					bound[word] = value
				}
			}
			all[name] = bound
		case isObject:
			if value, given := object["value"]; given {
				object["value"] = scalar(value)
			}
		case key == "outputs":
			all[name] = map[string]any{"uri": value}
		default:
			all[name] = map[string]any{"jobInputType": literal, "value": scalar(value)}
		}
	}
	return nil
}

// scalar is a number or a truth value as text, as a command gets it.
func scalar(value any) any {
	switch v := value.(type) {
	case json.Number:
		return v.String()
	case bool:
		return fmt.Sprint(v)
	case float64:
		if v == math.Trunc(v) {
			return fmt.Sprintf("%.0f", v)
		}
		return fmt.Sprint(v)
	}
	return value
}
