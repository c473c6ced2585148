package machinelearning

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/alvara-ml/alvara/arm"
	"github.com/alvara-ml/alvara/resource"
	"github.com/alvara-ml/alvara/workload"
)

var (
	placeholder         = regexp.MustCompile(`\$\{\{\s*([^{}]*?)\s*\}\}`)
	optional            = regexp.MustCompile(`\$\[\[(.*?)\]\]`)
	environmentVariable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	// plainWords is a command that means the same with and without a shell.
	plainWords = regexp.MustCompile(`^[A-Za-z0-9_./:=,@%+\- ]+$`)
)

// maxCommand is how long a command may be, and all environment variables together, in bytes.
const maxCommand = 128 << 10

// ownVariables are set for every run, and say where its identity is: a job that sets them means something else.
var ownVariables = []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "MSI_SECRET", "DEFAULT_IDENTITY_CLIENT_ID"}

// settleWords writes a job's command and environment variables into its order.
func settleWords(r *arm.Resource[Job], order *workload.Order) error {
	p := &r.Properties
	const field = "properties.command"
	command := strings.TrimSpace(p.Command)
	switch {
	case command == "":
		return resource.Invalidf("InvalidJob", "%s is missing; the command line that the job runs was expected", field).At(field)
	case len(command) > maxCommand:
		return resource.Errorf(resource.TooLarge, "CommandTooLong", "%s has %d bytes; put what has more than %d into a file of the code", field, len(command), maxCommand).At(field)
	case strings.ContainsRune(command, 0):
		return resource.Invalidf("InvalidJob", "%s has a zero byte, which no command has", field).At(field)
	}
	command, err := bound(field, withOptional(command, p), p)
	if err != nil {
		return err
	}
	order.Command = commandWords(command, p)
	size := 0
	for _, name := range slices.Sorted(maps.Keys(p.EnvironmentVariables)) {
		at := "properties.environmentVariables." + name
		value := p.EnvironmentVariables[name]
		size += len(name) + len(value)
		switch {
		case !environmentVariable.MatchString(name) || strings.ContainsRune(value, 0):
			return resource.Invalidf("InvalidJob", "%s: letters, digits, '_', '.' and '-', beginning with a letter or '_', name a variable, and its value has no zero byte", at).At(at)
		case slices.Contains(ownVariables, name) || strings.HasPrefix(name, "ALVARA_"):
			return resource.Invalidf("InvalidJob", "%s is set by the server, which tells the job with it where its identity and its files are; name the variable otherwise", at).At(at)
		case size > maxCommand:
			return resource.Errorf(resource.TooLarge, "EnvironmentTooLarge", "properties.environmentVariables have more than %d bytes; put them into a file of the code", maxCommand).At(at)
		}
		if value, err = bound(at, value, p); err != nil {
			return err
		}
		order.Env = append(order.Env, name+"="+value)
	}
	workspace := r.ID.Parent()
	order.Env = append(order.Env, "AZUREML_RUN_ID="+r.Name, "AZUREML_EXPERIMENT_NAME="+p.ExperimentName, "AZUREML_ARM_WORKSPACE_NAME="+workspace.Name(),
		"AZUREML_ARM_RESOURCEGROUP="+workspace.ResourceGroup(), "AZUREML_ARM_SUBSCRIPTION="+workspace.Subscription())
	return nil
}

// withOptional drops the parts in $[[ ]] of a command that name an input which is not given, and keeps the others.
func withOptional(command string, p *Job) string {
	return optional.ReplaceAllStringFunc(command, func(part string) string {
		inner := optional.FindStringSubmatch(part)[1]
		for _, found := range placeholder.FindAllStringSubmatch(inner, -1) {
			if name, isInput := strings.CutPrefix(found[1], "inputs."); isInput && p.Inputs[name] == nil {
				return ""
			}
		}
		return inner
	})
}

// bound makes sure that every placeholder of a text names an input or output, and writes it without spaces.
func bound(field, text string, p *Job) (string, error) {
	var refusal error
	text = placeholder.ReplaceAllStringFunc(text, func(part string) string {
		name := placeholder.FindStringSubmatch(part)[1]
		kind, of, _ := strings.Cut(name, ".")
		known := kind == "inputs" && p.Inputs[of] != nil || kind == "outputs" && p.Outputs[of] != nil
		if !known && refusal == nil {
			refusal = resource.Invalidf("UnknownPlaceholder", "%s has ${{%s}}, and the job has no such input or output; it has %s", field, name, bindings(p)).At(field)
		}
		return "${{" + name + "}}"
	})
	if refusal == nil && strings.Contains(placeholder.ReplaceAllString(text, ""), "${{") {
		refusal = resource.Invalidf("UnknownPlaceholder", "%s has a ${{ without its }}; ${{inputs.NAME}} or ${{outputs.NAME}} was expected", field).At(field)
	}
	return text, refusal
}

// bindings names what placeholders can stand for.
func bindings(p *Job) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p.Inputs)) {
		all = append(all, "${{inputs."+name+"}}")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Outputs)) {
		all = append(all, "${{outputs."+name+"}}")
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// shellWords are what a shell carries out itself: only a shell can, or an image with a shell may have no program for it.
var shellWords = []string{
	".", ":", "echo", "false", "kill", "printf", "pwd", "test", "true", "alias", "bg", "break", "case", "cd", "command", "continue", "declare", "eval", "exec", "exit", "export", "fg", "for", "function", "getopts",
	"hash", "if", "jobs", "local", "read", "readonly", "return", "select", "set", "shift", "shopt", "source", "time", "times", "trap", "type", "typeset", "ulimit",
	"umask", "unalias", "unset", "until", "wait", "while",
}

// shell runs its argument in bash, or in sh where there is none.
const shell = `if command -v bash >/dev/null 2>&1; then exec bash -c "$0"; fi; exec sh -c "$0"`

// commandWords is how a command is begun. One of plain words is begun as it is, so that an image needs no shell for it; everything else is
// for the image's shell.
func commandWords(command string, p *Job) []string {
	plain := placeholder.ReplaceAllStringFunc(command, func(part string) string {
		name := placeholder.FindStringSubmatch(part)[1]
		if input := p.Inputs[strings.TrimPrefix(name, "inputs.")]; strings.HasPrefix(name, "inputs.") && input.JobInputType == literal {
			if input.Value == "" || strings.Contains(input.Value, " ") {
				return "'" // words of its own, or none
			}
			return input.Value
		}
		return "path"
	})
	words := strings.Fields(command)
	if p.Distribution != nil && p.Distribution.DistributionType == "TensorFlow" && p.Resources.InstanceCount > 1 {
		return []string{"/bin/sh", "-c", tensorFlow(p.Resources.InstanceCount) + shell, command}
	}
	if plainWords.MatchString(plain) && !strings.Contains(words[0], "=") && !slices.Contains(shellWords, words[0]) {
		return words
	}
	return []string{"/bin/sh", "-c", shell, command}
}

// tensorFlow tells each node of a cluster of TensorFlow workers about the others. Nodes share a network.
func tensorFlow(nodes int) string {
	workers := make([]string, nodes)
	for i := range workers {
		workers[i] = "127.0.0.1:" + strconv.Itoa(tensorFlowPort+i)
	}
	cluster, _ := json.Marshal(map[string]any{"worker": workers}) // texts alone
	return `export TF_CONFIG='{"cluster":` + string(cluster) + `,"task":{"type":"worker","index":'"$NODE_RANK"'}}'; `
}

// tensorFlowPort is the port of the first worker; the others follow.
const tensorFlowPort = 2222
