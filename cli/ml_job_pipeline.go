package cli

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/cli/document"
)

// stepFields are what a step of a pipeline may have in its file.
var stepFields = append(slices.Clone(commandFields), "component")

// pipeline reads a pipeline: steps that are command jobs, which read what others of them write.
func (f jobFile) pipeline(given *document.Object) (*document.Object, error) {
	const where = "the pipeline"
	if err := knownFields(where, given, append(slices.Clone(jobFields), "jobs", "settings")...); err != nil {
		return nil, err
	}
	out, err := f.base(where, "Pipeline", given)
	if err != nil {
		return nil, err
	}
	if err := f.exchange(where, given, out); err != nil {
		return nil, err
	}
	steps, ok := given.Get("jobs").(*document.Object)
	if !ok || steps.Len() == 0 {
		return nil, usagef("%s has no jobs; a mapping of names to steps was expected", where)
	}
	jobs := document.New()
	for _, name := range steps.Keys() {
		step, err := f.step("jobs."+name, steps.Get(name))
		if err != nil {
			return nil, err
		}
		jobs.Set(name, step)
	}
	settings, err := f.settings(given.Get("settings"))
	if err != nil {
		return nil, err
	}
	return out.Set("jobs", jobs).SetIf("settings", settings), nil
}

func (f jobFile) settings(value any) (*document.Object, error) {
	if value == nil {
		return nil, nil
	}
	given, ok := value.(*document.Object)
	if !ok {
		return nil, usagef("settings is no mapping")
	}
	if err := knownFields("settings", given, "default_compute", "default_datastore", "continue_on_step_failure", "force_rerun"); err != nil {
		return nil, err
	}
	out := document.New().SetIf("defaultDatastore", given.Text("default_datastore"))
	if compute := given.Text("default_compute"); compute != "" {
		id, err := f.assets.compute("settings.default_compute", compute)
		if err != nil {
			return nil, err
		}
		out.Set("defaultComputeId", id)
	}
	for _, field := range []string{"continue_on_step_failure", "force_rerun"} {
		switch value := given.Get(field).(type) {
		case nil:
		case bool:
			out.Set(camel(field), value)
		default:
			return nil, usagef("settings.%s is %v; true or false was expected", field, value)
		}
	}
	return out, nil
}

// step reads a step: a command job whose inputs and outputs may be those of the pipeline or of other steps.
func (f jobFile) step(where string, value any) (*document.Object, error) {
	given, ok := value.(*document.Object)
	if !ok {
		return nil, usagef("%s is no mapping; a step with type: command was expected", where)
	}
	if kind := strings.ToLower(first(given.Text("type"), "command")); kind != "command" {
		return nil, usagef("%s: type is %q; the steps of a pipeline are of the type command", where, given.Text("type"))
	}
	if err := knownFields(where, given, stepFields...); err != nil {
		return nil, err
	}
	if component := given.Get("component"); component != nil {
		var err error
		if f, given, err = f.withComponent(where, given, component); err != nil {
			return nil, err
		}
	}
	read, err := f.command(where, given)
	if err != nil {
		return nil, err
	}
	out := document.New("type", "command")
	for _, key := range read.Keys() {
		if key != "jobType" {
			out.Set(key, read.Get(key))
		}
	}
	return out, nil
}

// componentFields are what a component's file may have; those of a command and what describes it.
var componentFields = []string{"type", "name", "version", "display_name", "description", "tags", "is_deterministic", "inputs", "outputs", "command", "code", "environment",
	"environment_variables", "resources", "distribution", "limits"}

// withComponent brings a component, a command with names for what it reads and writes, and the step that uses it into one command job. The
// paths in the job that comes back begin at the component's file.
func (f jobFile) withComponent(where string, step *document.Object, component any) (jobFile, *document.Object, error) {
	for _, field := range []string{"command", "code", "environment"} {
		if step.Has(field) {
			return f, nil, usagef("%s has a component and %s, which is the component's; leave one of them out", where, field)
		}
	}
	in := f
	given, ok := component.(*document.Object)
	if !ok {
		file, isText := component.(string)
		if !isText || !localPath(file) {
			return f, nil, usagef("%s: component is %v; a file of this machine was expected, such as ./train.yml: there are no registered components", where, component)
		}
		path := f.path(strings.TrimPrefix(file, "file:"))
		var err error
		if given, err = readYAML(path); err != nil {
			return f, nil, err
		}
		in.folder = filepath.Dir(path)
	}
	where += ": component"
	if err := knownFields(where, given, componentFields...); err != nil {
		return f, nil, err
	}
	if kind := strings.ToLower(first(given.Text("type"), "command")); kind != "command" {
		return f, nil, usagef("%s: type is %q; command was expected", where, given.Text("type"))
	}
	out := document.New()
	for _, field := range []string{"display_name", "description", "command", "code", "environment", "environment_variables", "resources", "distribution", "limits"} {
		if value := given.Get(field); value != nil {
			out.Set(field, value)
		}
	}
	for _, key := range step.Keys() {
		switch key {
		case "component", "inputs", "outputs":
		case "environment_variables", "resources": // field by field
			merged := given.Object(key).Clone()
			for _, name := range step.Object(key).Keys() {
				merged.Set(name, step.Object(key).Get(name))
			}
			out.Set(key, merged)
		default:
			out.Set(key, step.Get(key))
		}
	}
	inputs, err := f.componentInputs(where, given.Object("inputs"), step.Object("inputs"))
	if err != nil {
		return f, nil, err
	}
	outputs, err := componentOutputs(where, given.Object("outputs"), step.Object("outputs"))
	return in, out.SetIf("inputs", inputs).SetIf("outputs", outputs), err
}

// componentInputs gives each input of a component the step's value, or its default. Paths of the step begin at the pipeline's file.
func (f jobFile) componentInputs(where string, declared, given *document.Object) (*document.Object, error) {
	if err := knownFields(where+": inputs", given, declared.Keys()...); err != nil {
		return nil, err
	}
	out := document.New()
	for _, name := range declared.Keys() {
		about, kind := declared.Object(name), strings.ToLower(declared.Text(name, "type"))
		value := given.Get(name)
		if value == nil {
			value = about.Get("default")
		}
		if value == nil {
			if optional, _ := about.Get("optional").(bool); !optional {
				return nil, usagef("%s: inputs.%s has no value, and the component no default for it", where, name)
			}
			continue
		}
		if slices.Contains(exchangeTypes, kind) {
			place, ok := value.(*document.Object)
			if text, isText := value.(string); isText && !strings.Contains(text, "${{") {
				place, ok = document.New("path", text), true
			}
			if ok {
				place = place.Clone()
				if path := place.Text("path"); localPath(path) {
					absolute, err := filepath.Abs(f.path(path))
					if err != nil {
						return nil, err
					}
					place.Set("path", absolute)
				}
				if place.Text("type") == "" && !strings.Contains(place.Text("path"), "${{") {
					place.Set("type", kind)
				}
				value = place
			}
		}
		out.Set(name, value)
	}
	return out, nil
}

// componentOutputs gives each output of a component the place that the step names, or one of the step's own.
func componentOutputs(where string, declared, given *document.Object) (*document.Object, error) {
	if err := knownFields(where+": outputs", given, declared.Keys()...); err != nil {
		return nil, err
	}
	out := document.New()
	for _, name := range declared.Keys() {
		place, ok := given.Get(name).(*document.Object)
		if text, isText := given.Get(name).(string); isText {
			place, ok = document.New("path", text), true
		}
		if !ok {
			place = document.New()
		}
		place = place.Clone()
		if place.Text("type") == "" {
			place.SetIf("type", declared.Text(name, "type"))
		}
		out.Set(name, place)
	}
	return out, nil
}
