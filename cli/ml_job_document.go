package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alvara-ml/alvara/cli/document"
	"github.com/alvara-ml/alvara/featurestore/spec"
)

// jobDocument is a job in the words of the files, with what the server adds: how far it is, when it began and ended, and why it failed.
func jobDocument(job *document.Object) *document.Object {
	if job == nil {
		return nil
	}
	p := job.Object("properties")
	out := document.New("name", job.Get("name"), "status", p.Get("status"), "type", strings.ToLower(p.Text("jobType")), "display_name", p.Get("displayName"),
		"description", p.Get("description"))
	for _, key := range p.Keys() {
		value := p.Get(key)
		switch key {
		case "status", "jobType", "displayName", "description", "tags", "properties":
		case "codeId", "environmentId", "computeId", "componentId":
			out.Set(strings.TrimSuffix(key, "Id"), reference(fmt.Sprint(value)))
		case "inputs", "outputs":
			out.Set(key, exchangeDocument(p.Object(key)))
		case "identity":
			out.Set(key, jobIdentityDocument(p.Object(key)))
		case "limits":
			out.SetIf(key, limitsDocument(p.Object(key)))
		case "distribution":
			shown := snakeKeys(p.Object(key)).(*document.Object)
			shown.Set("type", strings.ToLower(shown.Text("distribution_type"))).Delete("distribution_type")
			out.Set(key, shown)
		case "environmentVariables":
			out.Set(snake(key), value)
		case "jobs":
			out.Set(key, stepsDocument(p.Object(key)))
		case "settings":
			shown := snakeKeys(p.Object(key)).(*document.Object)
			if compute := shown.Text("default_compute_id"); compute != "" {
				shown.Set("default_compute", reference(compute)).Delete("default_compute_id")
			}
			out.Set(key, shown)
		default:
			out.Set(snake(key), snakeKeys(value))
		}
	}
	return out.Set("tags", p.Get("tags")).Set("properties", p.Get("properties")).Set("id", job.Get("id")).Set("creation_context", creation(job))
}

// stepsDocument is the steps of a pipeline in the words of the files.
func stepsDocument(steps *document.Object) *document.Object {
	out := document.New()
	for _, name := range steps.Keys() {
		shown := jobDocument(document.New("properties", steps.Object(name)))
		step := document.New("type", "command")
		for _, key := range shown.Keys() {
			switch value := shown.Get(key); {
			case key == "type", key == "creation_context", value == nil, value == "":
			default:
				step.Set(key, value)
			}
		}
		out.Set(name, step)
	}
	return out
}

// reference writes an id as files name it: azureml:NAME, or azureml:NAME:VERSION.
func reference(id string) string {
	parts := strings.Split(id, "/")
	n := len(parts)
	switch {
	case n > 4 && strings.EqualFold(parts[n-2], "versions"):
		return "azureml:" + parts[n-3] + ":" + parts[n-1]
	case n > 4 && strings.EqualFold(parts[n-2], "computes"):
		return "azureml:" + parts[n-1]
	}
	return id
}

// exchangeDocument is what a job reads or writes: values as they are, and where files and folders lie.
func exchangeDocument(given *document.Object) *document.Object {
	out := document.New()
	for _, name := range given.Keys() {
		one := given.Object(name)
		kind := first(one.Text("jobInputType"), one.Text("jobOutputType"))
		if strings.EqualFold(kind, "literal") {
			out.Set(name, one.Get("value"))
			continue
		}
		shown := document.New().SetIf("type", kind).SetIf("path", reference(one.Text("uri"))).SetIf("description", one.Text("description")).
			SetIf("name", one.Text("assetName")).SetIf("version", one.Text("assetVersion"))
		if mode := one.Text("mode"); mode != "" {
			modes := inputModes
			if one.Has("jobOutputType") {
				modes = outputModes
			}
			shown.Set("mode", wordOf(modes, mode))
		}
		out.Set(name, shown)
	}
	return out
}

// wordOf is the word that files have for one of the wire.
func wordOf(words map[string]string, wire string) string {
	var found []string
	for word, is := range words {
		if strings.EqualFold(is, wire) && word != "mount" {
			found = append(found, word)
		}
	}
	if len(found) == 0 {
		return wire
	}
	return slices.Min(found)
}

func jobIdentityDocument(identity *document.Object) any {
	if identity == nil {
		return nil
	}
	kind := map[string]string{"managed": "managed", "useridentity": "user_identity", "amltoken": "aml_token"}[strings.ToLower(identity.Text("identityType"))]
	out := document.New("type", first(kind, identity.Text("identityType")))
	for _, key := range identity.Keys() {
		if key != "identityType" {
			out.Set(snake(key), identity.Get(key))
		}
	}
	return out
}

// limitsDocument shows times in seconds, as files have them.
func limitsDocument(limits *document.Object) *document.Object {
	out := document.New()
	if timeout := limits.Text("timeout"); timeout != "" {
		if d, err := spec.ParseISODuration(timeout); err == nil {
			out.Set("timeout", int(d/time.Second))
		} else {
			out.Set("timeout", timeout)
		}
	}
	return out
}

// snakeKeys writes the keys of a document, and of all in it, as files have them.
func snakeKeys(value any) any {
	switch v := value.(type) {
	case *document.Object:
		if v == nil {
			return nil
		}
		out := document.New()
		for _, key := range v.Keys() {
			out.Set(snake(key), snakeKeys(v.Get(key)))
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, element := range v {
			out[i] = snakeKeys(element)
		}
		return out
	default:
		return v
	}
}
