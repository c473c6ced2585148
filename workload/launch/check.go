package launch

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

var (
	idForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	slots    = regexp.MustCompile(`\$\{\{\s*(.*?)\s*\}\}`)
)

// The most bytes of a run's id and of a name.
const (
	longestID   = 100
	longestFile = 200
)

func isID(id string) bool { return len(id) <= longestID && idForm.MatchString(id) }

func invalid(field, format string, args ...any) *resource.Error {
	return resource.Invalidf("InvalidWorkload", format, args...).At(field)
}

// check finds what is wrong with an order before anything is done.
func check(order workload.Order) error {
	if !isID(order.ID) {
		return invalid("ID", "The id %q of a run must be 1 to 100 letters, digits, '_', '-' or '.', and begin with a letter or digit.", order.ID)
	}
	for field, files := range map[string][]workload.File{"inputs": order.Inputs, "outputs": order.Outputs} {
		seen := map[string]bool{}
		for _, file := range files {
			switch {
			case len(file.Name) > longestFile || !nameForm.MatchString(file.Name):
				return invalid(field, "The name %q among the %s must be up to 200 letters, digits, '_', '-' and '.', and not begin with '-' or '.'.", file.Name, field)
			case seen[file.Name]:
				return invalid(field, "The name %q is there twice among the %s.", file.Name, field)
			}
			seen[file.Name] = true
		}
	}
	for field, files := range map[string][]workload.File{"code": order.Code, "inputs": order.Inputs, "outputs": order.Outputs} {
		for _, file := range files {
			who := order.Who
			if file.Who != nil {
				who = *file.Who
			}
			if who.ID == "" {
				return resource.Forbiddenf("NoIdentity", "The run acts as nobody, and so cannot reach %s of the %s in the storage account %s. Give the compute an identity, or have the job run with one (identity: managed or user_identity).",
					describe(file), field, file.Account).At(field)
			}
		}
	}
	return nil
}

func describe(file workload.File) string {
	if file.Name != "" {
		return file.Name
	}
	return path.Join(file.Container, file.Path)
}

// resolve puts paths and values in the place of ${{inputs.NAME}} and ${{outputs.NAME}} in what the order runs.
func (p place) resolve(order workload.Order) (workload.Order, error) {
	known := maps.Clone(order.Values)
	if known == nil {
		known = map[string]string{}
	}
	for _, file := range order.Inputs {
		known["inputs."+file.Name] = p.input(file)
	}
	for _, file := range order.Outputs {
		known["outputs."+file.Name] = path.Join(p.inside.outputs, file.Name)
	}
	var wrong error
	fill := func(field, text string) string {
		return slots.ReplaceAllStringFunc(text, func(slot string) string {
			name := slots.FindStringSubmatch(slot)[1]
			value, ok := known[name]
			if input, beside := strings.CutSuffix(name, "/.."); beside && known[input] != "" && strings.HasPrefix(input, "inputs.") {
				value, ok = p.inside.inputs, true // the folder that has the input by its name
			}
			if !ok && wrong == nil {
				wrong = unknown(field, name, known)
			}
			return value
		})
	}
	command, env := make([]string, len(order.Command)), make([]string, len(order.Env))
	for i, word := range order.Command {
		command[i] = fill("command", word)
	}
	for i, setting := range order.Env {
		name, value, ok := strings.Cut(setting, "=")
		if !ok || name == "" {
			return order, invalid("environment_variables", "The variable %q must be NAME=value.", setting)
		}
		env[i] = name + "=" + fill("environment_variables", value)
	}
	order.Command, order.Env = command, env
	return order, wrong
}

func unknown(field, name string, known map[string]string) error {
	there := slices.Sorted(maps.Keys(known))
	if len(there) == 0 {
		return invalid(field, "${{%s}} stands for nothing: there are neither inputs nor outputs. Add it, or leave it out.", name)
	}
	return invalid(field, "${{%s}} stands for nothing; there are %s. Correct the name, or add it to the inputs or outputs.", name, strings.Join(there, ", "))
}

// input is the path of an input inside. A file keeps its own name, because programs judge files by their names' ends.
func (p place) input(file workload.File) string {
	if file.Folder {
		return path.Join(p.inside.inputs, file.Name)
	}
	return path.Join(p.inside.inputs, fileFolder(file.Name), path.Base("/"+file.Path))
}

// fileFolder is where an input that is a file lies, below the inputs; its own name is a link to it.
func fileFolder(name string) string { return "." + name }
