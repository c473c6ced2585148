package machinelearning

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
)

// binding is what an input or output of a step is connected with: ${{parent.inputs.X}}, ${{parent.outputs.X}} or
// ${{parent.jobs.STEP.outputs.X}}.
type binding struct {
	kind string // inputs, outputs or jobs; "" for none
	step string
	name string
}

var parentBinding = regexp.MustCompile(`^\s*\$\{\{\s*parent\.(?:(inputs|outputs)\.([^.{}\s]+)|(jobs)\.([^.{}\s]+)\.outputs\.([^.{}\s]+))\s*\}\}\s*$`)

// bindingOf reads a binding. What only contains one is refused: it is whole, or it is none.
func bindingOf(field, text string) (binding, error) {
	if !strings.Contains(text, "{{") || !strings.Contains(text, "parent.") {
		return binding{}, nil
	}
	m := parentBinding.FindStringSubmatch(text)
	switch {
	case m == nil:
		return binding{}, resource.Invalidf("InvalidBinding", "%s is %q; ${{parent.inputs.NAME}}, ${{parent.outputs.NAME}} or ${{parent.jobs.STEP.outputs.NAME}} was expected, and nothing beside it", field, text).At(field)
	case m[1] != "":
		return binding{kind: m[1], name: m[2]}, nil
	}
	return binding{m[3], m[4], m[5]}, nil
}

// bind connects the steps of a pipeline: what they read with what the pipeline is given and what other steps write, and what they write
// with the pipeline's outputs. needs gets, for each step, those whose outputs it reads.
func (p *pipeline) bind() (needs map[string][]string, err error) {
	needs = map[string][]string{}
	writers := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(p.steps)) {
		step := p.steps[name]
		needs[name] = nil
		for _, output := range slices.Sorted(maps.Keys(step.Outputs)) {
			if err := p.bindOutput(name, output, writers); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.steps)) {
		step := p.steps[name]
		for _, input := range slices.Sorted(maps.Keys(step.Inputs)) {
			needed, err := p.bindInput(name, input)
			if err != nil {
				return nil, err
			}
			if needed != "" && !slices.Contains(needs[name], needed) {
				needs[name] = append(needs[name], needed)
			}
		}
		slices.Sort(needs[name])
	}
	for _, output := range slices.Sorted(maps.Keys(p.outputs)) {
		if writers[output] == "" {
			field := "properties.outputs." + output
			return nil, resource.Invalidf("InvalidPipeline", "%s is written by no step; give a step an output with the uri ${{parent.outputs.%s}}, or leave it out", field, output).At(field)
		}
	}
	return needs, nil
}

// bindOutput gives an output of a step its place: that of the pipeline's output, its own, or a folder of the step's job.
func (p *pipeline) bindOutput(name, output string, writers map[string]string) error {
	field := "properties.jobs." + name + ".outputs." + output
	given := p.steps[name].Outputs[output]
	if given == nil {
		given = &JobOutput{}
		p.steps[name].Outputs[output] = given
	}
	if strings.EqualFold(given.JobOutputType, literal) {
		given.JobOutputType = ""
	}
	to, err := bindingOf(field, given.URI)
	if err != nil {
		return err
	}
	switch to.kind {
	case "":
	case "outputs":
		whole, known := p.outputs[to.name]
		switch {
		case !known || whole == nil:
			return unknown(field, "output", to.name, "the pipeline", slices.Sorted(maps.Keys(p.outputs)))
		case writers[to.name] != "":
			return resource.Invalidf("InvalidBinding", "%s and %s write the same output %q of the pipeline; one step writes one", field, writers[to.name], to.name).At(field)
		case given.JobOutputType != "" && whole.JobOutputType != "" && !strings.EqualFold(given.JobOutputType, whole.JobOutputType):
			return resource.Invalidf("InvalidBinding", "%s is of the type %s and the pipeline's output %q of the type %s; they are the same, leave one out", field, given.JobOutputType, to.name, whole.JobOutputType).At(field)
		case whole.JobOutputType == "":
			whole.JobOutputType = given.JobOutputType
		}
		writers[to.name] = field
		whole.JobOutputType, err = oneOf("properties.outputs."+to.name+".jobOutputType", whole.JobOutputType, uriFolder, outputTypes...)
		if err != nil {
			return err
		}
		whole.URI = placeOfOutput(whole, p.name, to.name)
		if before := p.reused[name]; before != nil {
			whole.URI = before.Asked.Outputs[output].URI
		}
		given.JobOutputType, given.URI = whole.JobOutputType, whole.URI
	default:
		return resource.Invalidf("InvalidBinding", "%s is bound to ${{parent.%s…}}; an output is bound to ${{parent.outputs.NAME}} or to nothing", field, to.kind).At(field)
	}
	if given.JobOutputType, err = oneOf(field+".jobOutputType", given.JobOutputType, uriFolder, outputTypes...); err != nil {
		return err
	}
	if given.URI = placeOfOutput(given, p.child(name), output); p.reused[name] != nil {
		given.URI = p.reused[name].Asked.Outputs[output].URI
	}
	return nil
}

// placeOfOutput is where an output of a job is written to.
func placeOfOutput(output *JobOutput, job, name string) string {
	uri := outputPlace(output.URI, job, name)
	if output.JobOutputType == uriFile && output.URI == "" {
		uri = strings.TrimSuffix(uri, "/")
	}
	return uri
}

// bindInput gives an input of a step its value, and names the step that writes it, or "".
func (p *pipeline) bindInput(name, input string) (needed string, err error) {
	field := "properties.jobs." + name + ".inputs." + input
	given := p.steps[name].Inputs[input]
	if given == nil {
		return "", nil // refused with the step's other fields
	}
	text := given.URI
	if text == "" {
		text = given.Value
	}
	from, err := bindingOf(field, text)
	if err != nil {
		return "", err
	}
	kind := given.JobInputType
	if strings.EqualFold(kind, literal) {
		kind = ""
	}
	switch from.kind {
	case "":
		return "", nil
	case "inputs":
		source, known := p.inputs[from.name]
		if !known || source == nil {
			return "", unknown(field, "input", from.name, "the pipeline", slices.Sorted(maps.Keys(p.inputs)))
		}
		if strings.EqualFold(source.JobInputType, literal) && kind != "" {
			return "", resource.Invalidf("InvalidBinding", "%s is of the type %s and the pipeline's input %q is a literal value; leave the type out", field, given.JobInputType, from.name).At(field)
		}
		if kind == "" {
			kind = source.JobInputType
		}
		mode := given.Mode
		if mode == "" {
			mode = source.Mode
		}
		*given = JobInput{JobInputType: kind, Value: source.Value, URI: source.URI, Mode: mode, Description: given.Description, PathOnCompute: given.PathOnCompute}
		return "", nil
	case "jobs":
		step, known := p.steps[from.step]
		if !known {
			return "", unknown(field, "step", from.step, "the pipeline", slices.Sorted(maps.Keys(p.steps)))
		}
		source, known := step.Outputs[from.name]
		if !known {
			return "", unknown(field, "output", from.name, "the step "+from.step, slices.Sorted(maps.Keys(step.Outputs)))
		}
		if kind == "" {
			kind = source.JobOutputType
		}
		given.JobInputType, given.URI, given.Value = kind, source.URI, ""
		return from.step, nil
	}
	return "", resource.Invalidf("InvalidBinding", "%s is bound to ${{parent.outputs.%s}}; an input is bound to ${{parent.inputs.NAME}} or ${{parent.jobs.STEP.outputs.NAME}}", field, from.name).At(field)
}

func unknown(field, what, name, owner string, known []string) error {
	list := "none"
	if len(known) > 0 {
		list = strings.Join(known, ", ")
	}
	return resource.Invalidf("InvalidBinding", "%s names the %s %q, which %s does not have; it has %s", field, what, name, owner, list).At(field)
}
