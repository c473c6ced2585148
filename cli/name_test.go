package cli

import (
	"strings"
	"testing"
)

func TestNameThatWasCalled(t *testing.T) {
	for argument, want := range map[string]string{
		"az": "az", "/usr/local/bin/az": "az", `C:\tools\AZ.EXE`: "az", "./az": "az",
		"alvara": "alvara", "/opt/az/alvara": "alvara", "azure": "alvara", "": "alvara", "cli.test": "alvara",
	} {
		if got := CalledAs(argument); got != want {
			t.Errorf("%q is %s; want %s", argument, got, want)
		}
	}
}

// What the program and the server say of commands is said under the name that was called, and nothing else changes.
func TestCommandsAreShownUnderTheNameThatWasCalled(t *testing.T) {
	root := testParser(t).Model.Node
	for text, want := range map[string]string{
		"Grant it: alvara role assignment create --assignee p --role AcrPull": "Grant it: az role assignment create --assignee p --role AcrPull",
		"`alvara ml job stream` shows its log; alvara acr login":              "`az ml job stream` shows its log; az acr login",
		"alvara-data, ./alvara ml, alvara is a platform, admin@alvara.local":  "alvara-data, ./az ml, alvara is a platform, admin@alvara.local",
		"alvara roleplay": "alvara roleplay",
	} {
		if got := newRenamer("az", root).shown(text); got != want {
			t.Errorf("az: %s", got)
		}
		if got := newRenamer("alvara", root).shown(text); got != text {
			t.Errorf("alvara: %s", got)
		}
	}
}

func TestHelpAndUsageNameWhatWasCalled(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"az", []string{"ml", "workspace", "create", "--help"}, []string{"Usage: az ml workspace create", "Example:\n  az ml workspace create -w ws"}},
		{"az", []string{"ml", "workspace"}, []string{"Usage: az ml workspace"}},
		{"az", nil, []string{"Usage: az <command>", "  az quickstart  "}},
		{"alvara", []string{"ml", "workspace", "show", "--help"}, []string{"Usage: alvara ml workspace show", "  alvara ml workspace show -w"}},
		{"az", []string{"ml", "workspace", "show", "--nosuch"}, []string{`Run "az ml workspace show --help"`}},
		{"az", []string{"completion", "bash"}, []string{"az __complete --", "complete -o default -o bashdefault -F _az az\n"}},
		{"alvara", []string{"completion", "bash"}, []string{"-F _alvara alvara\n"}},
		{"az", []string{"ml", "nosuch"}, []string{`Run "az ml --help"`}},
	} {
		program, stdout, stderr := testProgram(nil)
		program.Name = c.name
		program.Run(t.Context(), c.args)
		for _, want := range c.want {
			if !strings.Contains(stdout.String()+stderr.String(), want) {
				t.Errorf("%s %v lacks %q:\n%s%s", c.name, c.args, want, stdout, stderr)
			}
		}
	}
}
